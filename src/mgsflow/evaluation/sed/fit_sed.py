"""The stage that fits test galaxies' magnitudes, by bagpipes and by kcorrect, and times both."""

from __future__ import annotations

import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Evaluation, Photometry, Selection
from mgsflow.config.evaluation import Sed
from mgsflow.core.machine import processor
from mgsflow.core.progress import say, track
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import write_table
from mgsflow.evaluation.sed.galaxies import Observed, choose
from mgsflow.evaluation.sed.method_names import NESTED, TEMPLATES
from mgsflow.evaluation.sed.nested import NestedFitter
from mgsflow.evaluation.sed.partial import Partial
from mgsflow.evaluation.sed.templates import TemplateFitter

LOWEST_REDSHIFT = 1e-3  # of bagpipes' prior: at 0 a galaxy has no distance
QUANTILES = {"q16": 0.16, "q50": 0.50, "q84": 0.84}
_WARM_UP, _PASSES = 1, 3  # as the stage speed counts: the mean of three passes after one more

COLUMNS = (
    Quantity("method", "", "What fitted the galaxy's magnitudes"),
    Quantity("target", "", "The quantity; mean to q84 are in its unit"),
    Quantity("mean", "", "Mean of the posterior, or the point estimate"),
    Quantity("std", "", "Standard deviation of the posterior; NaN of a point estimate"),
    *(Quantity(q, "", f"Quantile {level} of the posterior") for q, level in QUANTILES.items()),
    Quantity("core_seconds", "s", "CPU time of the galaxy's fit, of all quantities together"),
)


def fit_sed(
    *,
    features: Path,
    selected: Path,
    photometry: Photometry,
    selection: Selection,
    sed: Sed,
    evaluation: Evaluation,
    seed: int,
    checkpoints: Path,
    code: str,
    out: Path,
) -> None:
    """Fit test galaxies' ugriz: `sed.galaxies` of them by bagpipes, all of them by kcorrect.

    bagpipes draws `evaluation.speed_draws` of its posterior, on one thread, with the redshift free
    within the selection's; kcorrect gives a mass, and is told the redshift, without which it cannot
    be. Both have the magnitudes that the flows see, the catalogue's errors and those of the
    calibration in quadrature. Times are of the process's CPU time, without starting either fitter:
    what that takes is in the table's notes, and so are versions and settings.

    Parquet: a row a galaxy, method and target. bagpipes gives its sampler no seed, so that its
    figures repeat to the noise of its draws only. A run that was stopped goes on from its last
    galaxy: each is kept in `checkpoints`, by its data, the settings, the processor
    and the digest `code`.
    """
    found = choose(features, selected, photometry.asinh_to_ab, seed)
    templates, facts = _fit_templates(found)
    reach = (max(selection.redshift_min, LOWEST_REDSHIFT), selection.redshift_max)
    draws = evaluation.speed_draws
    # a fit that another processor or version made has another's time
    place = processor(), version("bagpipes")
    partial = Partial(checkpoints, code, reach, draws, sed.live_points, *place)
    nested, more = _fit_nested(found.first(sed.galaxies), reach, sed.live_points, draws, partial)
    notes = {**facts, **more, "processor": processor()}
    write_table(out, pd.concat([nested, templates], ignore_index=True), COLUMNS, notes)
    partial.clear()


def _fit_templates(galaxies: Observed) -> tuple[pd.DataFrame, dict[str, object]]:
    """kcorrect's masses; each galaxy's time is an equal share of the time of all together."""
    began = time.process_time()
    fitter = TemplateFitter(float(galaxies.redshift.max()))
    started = time.process_time() - began
    seconds = _pass_seconds(fitter, galaxies) / len(galaxies.objid)
    mass = fitter.masses(galaxies.redshift, galaxies.maggies, galaxies.errors)
    say(f"fit-sed: kcorrect, {len(mass)} galaxies, {seconds:.3g} core-seconds each")
    table = pd.DataFrame(
        {
            "objid": galaxies.objid,
            "method": TEMPLATES,
            "target": "log_stellar_mass",
            "mean": mass,
            "std": np.nan,
            **dict.fromkeys(QUANTILES, np.nan),
            "core_seconds": seconds,
        }
    )
    notes = {
        "kcorrect": version("kcorrect"),
        "kcorrect_start_core_seconds": started,
        "kcorrect_single_core_seconds": _pass_seconds(fitter, galaxies.first(1)),
    }
    return table, notes


def _pass_seconds(fitter: TemplateFitter, galaxies: Observed) -> float:
    """Core-seconds of a pass over all `galaxies`, the mean of several."""
    passes = []
    for _ in range(_WARM_UP + _PASSES):
        began = time.process_time()
        fitter.masses(galaxies.redshift, galaxies.maggies, galaxies.errors)
        passes.append(time.process_time() - began)
    return statistics.mean(passes[_WARM_UP:])


def _fit_nested(
    galaxies: Observed,
    reach: tuple[float, float],
    live_points: int,
    draws: int,
    partial: Partial,
) -> tuple[pd.DataFrame, dict[str, object]]:
    """bagpipes' posteriors, each galaxy with its own time."""
    began = time.process_time()
    fitter = NestedFitter(reach, live_points, draws)
    started = time.process_time() - began
    rows = []
    for i in track(range(len(galaxies.objid)), "fit-sed, galaxies by bagpipes"):
        galaxy = int(galaxies.objid[i]), galaxies.maggies[i], galaxies.errors[i]
        done = partial.load(*galaxy)
        if done is None:
            began = time.process_time()
            drawn = fitter.fit(*galaxy)
            done = _summarise(galaxy[0], drawn, time.process_time() - began)
            partial.save(done, *galaxy)
        rows += done
    notes = {
        "bagpipes": version("bagpipes"),
        "bagpipes_start_core_seconds": started,
        "draws": draws,
        "live_points": live_points,
    }
    return pd.DataFrame(rows, columns=["objid", *(c.name for c in COLUMNS)]), notes


def _summarise(objid: int, drawn: dict[str, np.ndarray], seconds: float) -> list[dict[str, object]]:
    """A row a quantity. Draws of no star formation, whose logarithm is -inf, count as the least."""
    rows = []
    for target, values in drawn.items():
        finite = np.isfinite(values)
        values = np.where(finite, values, values[finite].min() if finite.any() else np.nan)
        levels = np.quantile(values, list(QUANTILES.values()))
        rows.append(
            {
                "objid": objid,
                "method": NESTED,
                "target": target,
                "mean": float(values.mean()),
                "std": float(values.std()),
                **dict(zip(QUANTILES, levels.tolist(), strict=True)),
                "core_seconds": seconds,
            }
        )
    return rows
