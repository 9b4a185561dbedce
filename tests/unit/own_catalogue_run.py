"""A run on a user's own catalogue with a property and a band of its own: stage by stage.

    python tests/unit/own_catalogue_run.py FOLDER

is run by test_vocabulary.py on a copy of the package whose vocabulary has the property `log_age`,
and whose record of the survey has the band y. The catalogue has a linear age with its error,
magnitudes, masses and redshifts; the stages' outputs lie in FOLDER.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
from matplotlib.figure import Figure
from synthetic_features import COMPUTE, FLOWS, PHOTOMETRY, make_features, train

import mgsflow
from mgsflow.baselines.baselines import baselines
from mgsflow.config import validate
from mgsflow.core.tables import read_table
from mgsflow.evaluation.calibration.calibration import calibration
from mgsflow.evaluation.scores import scores
from mgsflow.evaluation.uncertainty import uncertainty
from mgsflow.inference.sample_posteriors import sample_posteriors
from mgsflow.report import style
from mgsflow.report.figure2 import figure2
from mgsflow.report.figure_ranks import figure_ranks
from mgsflow.report.table1 import table1
from mgsflow.report.table2 import table2
from mgsflow.report.table_calibration import table_calibration
from mgsflow.report.table_scores import table_scores
from mgsflow.sample.photometry import photometry
from mgsflow.sample.select import select
from mgsflow.sample.splits import splits
from mgsflow.sample.targets import targets
from mgsflow.training.features import features

SEED = 1
COLUMNS = {"objid": "objid", "log_stellar_mass": "log_stellar_mass", "redshift": "redshift"}
MAGNITUDES = {f"mag_{band}": f"mag_{band}" for band in PHOTOMETRY.bands}
SETTINGS = {
    "sky": "catalogue",
    "catalogue": {
        "path": "catalogue.parquet",
        "columns": COLUMNS | MAGNITUDES | {"log_age": "age", "log_age_err": "age_error"},
        "units": {"log_age": "Gyr", "log_age_err": "Gyr"},
    },
    "targets": {"properties": ["redshift", "log_stellar_mass", "log_age"], "lines": []},
    "stamps": {"provider": "none"},
    "flows": FLOWS.model_dump(mode="json"),
    "posteriors": {"draws": 40},
    "baselines": {"methods": ["photometry_boosting"], "boosting_iterations": 10},
    "evaluation": {"bootstrap": 20},
    "calibration": {"bootstrap": 20, "classifier_nulls": 10, "joint_draws": 40},
}


def make_catalogue(path: Path) -> None:
    """A catalogue of 400 galaxies; one of them is too young to be plausible."""
    table = make_features(400)
    random = np.random.default_rng(3)
    age = 10 ** (0.5 + 0.2 * (table["log_stellar_mass"] - 10) + random.normal(0, 0.05, len(table)))
    age[0] = 1e-5
    table["mag_y"] = table["mag_z"] - 0.1 + random.normal(0, 0.03, len(table))
    columns = [*COLUMNS, *MAGNITUDES]
    table[columns].assign(age=age, age_error=0.1 * age).to_parquet(path)


def make_posteriors(folder: Path) -> None:
    """From the catalogue to the posteriors of the test set."""
    settings = validate(SETTINGS)
    dropped = {
        name: folder / f"dropped-{name}.parquet"
        for name in ("select", "targets", "photometry", "splits")
    }
    selected, measured = folder / "selected.parquet", folder / "targets.parquet"
    magnitudes, divided = folder / "photometry.parquet", folder / "splits.parquet"
    select(
        source=folder / settings.catalogue.path,
        sky=settings.sky,
        catalogue=settings.catalogue,
        selection=settings.selection,
        seed=SEED,
        out=selected,
        dropped=dropped["select"],
    )
    targets(selected=selected, targets=settings.targets, out=measured, dropped=dropped["targets"])
    photometry(
        selected=selected,
        photometry=settings.photometry,
        rest_frame=False,
        out=magnitudes,
        dropped=dropped["photometry"],
    )
    splits(
        targets_table=measured,
        photometry_table=magnitudes,
        targets=settings.targets,
        photometry=settings.photometry,
        splits=settings.splits,
        seed=SEED,
        out=divided,
        dropped=dropped["splits"],
    )
    features(
        splits=divided,
        targets_table=measured,
        photometry_table=magnitudes,
        targets=settings.targets,
        photometry=settings.photometry,
        flows=settings.flows,
        out=folder / "features.parquet",
    )
    table = read_table(folder / "features.parquet")
    sample_posteriors(
        features=folder / "features.parquet",
        property_model=train(folder, table, "property", settings.targets),
        posteriors=settings.posteriors,
        compute=COMPUTE,
        seed=SEED,
        out=folder / "posteriors.h5",
        catalogue=folder / "posteriors.fits",
    )


def make_report(folder: Path) -> None:
    """The evaluation's tables, and the report's tables and figures."""
    settings = validate(SETTINGS)
    drawn = {"posteriors": [folder / "posteriors.h5"]}
    predicted = folder / "predictions.parquet"
    scored, spread = folder / "scores.parquet", folder / "uncertainty.parquet"
    judged, curves = folder / "calibration.parquet", folder / "curves.parquet"
    baselines(
        features=folder / "features.parquet",
        selected=folder / "selected.parquet",
        baselines=settings.baselines,
        targets=settings.targets,
        splits=settings.splits,
        stamps=settings.stamps,
        seed=SEED,
        out=predicted,
    )
    scores(
        features=folder / "features.parquet",
        selected=folder / "selected.parquet",
        baselines=[predicted],
        targets=settings.targets,
        evaluation=settings.evaluation,
        seed=SEED,
        out=scored,
        **drawn,
    )
    uncertainty(out=spread, **drawn)
    calibration(
        features=folder / "features.parquet",
        calibration=settings.calibration,
        seed=SEED,
        out=judged,
        curves=curves,
        **drawn,
    )
    table1(scores=scored, out=folder / "table1.csv")
    table2(uncertainty=spread, out=folder / "table2.csv")
    table_scores(scores=scored, out=folder / "scores.csv")
    table_calibration(calibration=judged, out=folder / "calibration.csv")
    with patch.object(style, "save") as saved:
        figure_ranks(curves=curves, out=folder / "ranks.pdf")
        figure2(
            posteriors=folder / "posteriors.h5",
            kind="properties",
            scores=scored,
            out=folder / "figure2.pdf",
        )
    texts = {call.args[1].stem: texts_of(call.args[0]) for call in saved.call_args_list}
    (folder / "texts.json").write_text(json.dumps(texts))


def texts_of(figure: Figure) -> list[str]:
    """The titles of the panels, and what their horizontal axes say."""
    return [text.get_text() for axes in figure.axes for text in (axes.title, axes.xaxis.label)]


def main(folder: Path) -> None:
    make_catalogue(folder / "catalogue.parquet")
    make_posteriors(folder)
    make_report(folder)
    modules = [module.name for module in pkgutil.walk_packages(mgsflow.__path__, "mgsflow.")]
    for name in modules:
        importlib.import_module(name)
    targets = validate({"sky": "sdss"}).targets
    facts = {"modules": len(modules), "plausible": targets.plausible, "default": targets.properties}
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
