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

LOWEST_REDSHIFT = 1e-3  # minimum of bagpipes' prior: at redshift 0 the distance is zero
QUANTILES = {"q16": 0.16, "q50": 0.50, "q84": 0.84}
_WARM_UP, _PASSES = 1, 3  # as in the stage speed: the mean of three passes after one to warm up

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
    """Fit the ugriz magnitudes of test galaxies with bagpipes (`sed.galaxies`) and kcorrect (all).

    bagpipes draws `evaluation.speed_draws` samples of its posterior on one thread, with the
    redshift free within the selection's range. kcorrect estimates a mass and needs the redshift,
    which is given to it. Both use the magnitudes that the flows see, and the catalogue's errors
    with those of the calibration in quadrature. Times are CPU times of the process, without the
    start of either fitter; the table's notes have the time of the start, versions and settings.

    The output is Parquet with one row per galaxy, method and target. bagpipes sets no seed for its
    sampler, so its results repeat only within the noise of its draws. An interrupted run continues
    after its last galaxy: results are kept in `checkpoints`, identified by data, settings,
    processor and the digest `code`.
    """
    observed = choose(features, selected, photometry.asinh_to_ab, seed)
    templates, facts = _fit_templates(observed)
    reach = (max(selection.redshift_min, LOWEST_REDSHIFT), selection.redshift_max)
    draws = evaluation.speed_draws
    # the time of a fit depends on the processor and on the version
    place = processor(), version("bagpipes")
    partial = Partial(checkpoints, code, reach, draws, sed.live_points, *place)
    nested, more = _fit_nested(observed.first(sed.galaxies), reach, sed.live_points, draws, partial)
    notes = {**facts, **more, "processor": processor()}
    write_table(out, pd.concat([nested, templates], ignore_index=True), COLUMNS, notes)
    partial.clear()


def _fit_templates(galaxies: Observed) -> tuple[pd.DataFrame, dict[str, object]]:
    """kcorrect's masses; the time per galaxy is that of the whole set divided by its size."""
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
    """Core-seconds of a pass over all `galaxies`, averaged over several passes."""
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
    """bagpipes' posteriors, with the time of each galaxy."""
    began = time.process_time()
    fitter = NestedFitter(reach, live_points, draws)
    started = time.process_time() - began
    rows = []
    for i in track(range(len(galaxies.objid)), "fit-sed, galaxies by bagpipes"):
        galaxy = int(galaxies.objid[i]), galaxies.maggies[i], galaxies.errors[i]
        done = partial.load(*galaxy)
        if done is None:
            began = time.process_time()
            samples = fitter.fit(*galaxy)
            done = _summarise(galaxy[0], samples, time.process_time() - began)
            partial.save(done, *galaxy)
        rows += done
    notes = {
        "bagpipes": version("bagpipes"),
        "bagpipes_start_core_seconds": started,
        "draws": draws,
        "live_points": live_points,
    }
    return pd.DataFrame(rows, columns=["objid", *(c.name for c in COLUMNS)]), notes


def _summarise(
    objid: int, samples: dict[str, np.ndarray], seconds: float
) -> list[dict[str, object]]:
    """One row per quantity. Draws without star formation (log rate -inf) get the smallest value."""
    rows = []
    for target, values in samples.items():
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
