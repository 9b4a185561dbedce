"""The stage that tests whether the posteriors of the test set are calibrated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config.evaluation import Calibration
from mgsflow.config.models import LEAST_DRAWS
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed, generator, hash_uniform
from mgsflow.core.tables import read_table, write_table
from mgsflow.core.tabular import blocks
from mgsflow.evaluation.calibration.assess import Posteriors, assess
from mgsflow.evaluation.calibration.columns import CURVES, QUANTITIES
from mgsflow.evaluation.calibration.inputs import components, rows_of, slices
from mgsflow.evaluation.calibration.recalibrate import learn
from mgsflow.evaluation.calibration.verdict_names import PRIOR, RAW
from mgsflow.inference.draws import PosteriorSet, each_variant, read_posterior
from mgsflow.posterior.prior_ratio import PriorRatio
from mgsflow.posterior.weights import FEW, effective_sizes, resample

SET, LEARNT_ON = "test", "validation"
WEIGHTED_AT_ONCE = 2**22  # draws in one block; their weights take 32 MB
LEAST_SHARE = 0.25  # minimum share of effective draws after reweighting, capped at FEW draws


def calibration(
    *,
    features: Path,
    posteriors: list[Path],
    calibration: Calibration,
    seed: int,
    out: Path,
    curves: Path,
) -> None:
    """Test the calibration of the test set's posteriors.

    --out has one row for each variant, target or group, and slice: tests of ranks, coverage, TARP,
    correlations, L-C2ST, scores and verdicts. --curves has the curves and histograms of the figure,
    with their bands. docs/calibration.md explains all quantities. With `calibration.recalibrate`,
    draws that are recalibrated on the validation set, or reweighted to the test set's population,
    are tested beside the raw draws.
    """
    table = read_table(features).set_index("objid")
    findings: list[pd.DataFrame] = []
    curve_points: list[pd.DataFrame] = []
    variants = each_variant(posteriors, SET)
    for path, (variant, posterior) in zip(posteriors, variants, strict=True):
        _check(posterior, path)
        rows = rows_of(table, posterior.objid, features)
        for name, version, columns in _versions(posterior, table, rows, path, calibration, seed):
            say(f"calibration: {variant}, recalibration: {name}, {len(version.truth)} galaxies")
            own, points = assess(version, calibration, seed)
            own = pd.DataFrame(own).assign(variant=variant, recalibration=name, **columns)
            findings.append(own)
            curve_points.append(pd.DataFrame(points).assign(variant=variant, recalibration=name))
    _write(out, findings, QUANTITIES)
    _write(curves, curve_points, CURVES)


def _check(posterior: PosteriorSet, path: Path) -> None:
    count = posterior.pooled.shape[1]
    if count < LEAST_DRAWS:
        raise UserError(
            f"{path}: {count} draws per galaxy are too few to assess a posterior. Set "
            f"posteriors.draws to at least {LEAST_DRAWS}."
        )
    if not np.isfinite(posterior.draws).all():
        row = int(np.argmin(np.isfinite(posterior.draws).all(axis=(1, 2, 3))))
        raise UserError(
            f"{path}: draws of galaxy {posterior.objid[row]} are not finite. Rerun "
            "sample-posteriors; if the error persists, check the training history."
        )


def _versions(
    posterior: PosteriorSet,
    table: pd.DataFrame,
    rows: pd.DataFrame,
    path: Path,
    settings: Calibration,
    seed: int,
) -> Iterator[tuple[str, Posteriors, dict[str, float]]]:
    """The raw posteriors, then the recalibrated ones if the settings ask for them.

    Each comes with the name of its recalibration and with columns that only it has.
    """
    pooled, redshift = posterior.pooled, None
    if "redshift" in posterior.targets:
        redshift = pooled[..., posterior.column("redshift")].mean(axis=1, dtype=np.float64)
    inputs = components(rows, posterior.variant, settings.components)
    raw = Posteriors(pooled, posterior.truth, posterior.targets, inputs, slices(rows, redshift))
    yield RAW, raw, {}
    if settings.recalibrate == PRIOR:
        draws, effective = _reweighted(posterior, table, settings, seed)
        starved = effective < min(FEW, LEAST_SHARE * pooled.shape[1])
        # a galaxy with too few effective draws is excluded: its truth is NaN, its draws stay raw
        draws[starved] = pooled[starved]
        truth = np.where(starved[:, None], np.nan, raw.truth)
        columns = _effective_columns(effective, starved, pooled.shape[1])
        yield PRIOR, replace(raw, draws=draws, truth=truth), columns
    elif settings.recalibrate != RAW:
        draws = _recalibrated(pooled, read_posterior(path, LEARNT_ON), settings.recalibrate, seed)
        yield settings.recalibrate, replace(raw, draws=draws), {}


def _reweighted(
    posterior: PosteriorSet, table: pd.DataFrame, settings: Calibration, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The draws reweighted to the test set's population, and each galaxy's effective sample size.

    The population is estimated without the truths.
    """
    targets = [name for name in settings.prior_targets if name in posterior.targets]
    if not targets:
        raise UserError(
            "calibration.prior_targets: the posteriors infer none of "
            f"{', '.join(settings.prior_targets)}; name one of {', '.join(posterior.targets)}."
        )
    pooled, train = posterior.pooled, table[table["set"] == "train"]
    ratio = PriorRatio.of_draws(train, pooled, posterior.targets, targets)
    uniform = hash_uniform(posterior.objid, derive_seed(seed, "calibration", PRIOR))
    count = pooled.shape[1]
    draws, effective = np.empty_like(pooled), np.empty(len(pooled))
    for part in blocks(len(pooled), max(1, WEIGHTED_AT_ONCE // count)):
        weights = ratio.weights(pooled[part], posterior.targets)
        draws[part] = resample(pooled[part], weights, count, uniform[part])
        effective[part] = effective_sizes(weights)
    return draws, effective


def _effective_columns(effective: np.ndarray, starved: np.ndarray, draws: int) -> dict[str, float]:
    """Columns that summarise the effective sample sizes (n,), which are also logged."""
    low, median = np.quantile(effective, (0.05, 0.5))
    say(
        f"calibration: {median:.0f} of {draws} draws effective after reweighting, {low:.0f} at "
        f"the 5% quantile; {starved.sum()} of {len(starved)} galaxies have too few and are left out"
    )
    return {
        "effective_median": float(median),
        "effective_q05": float(low),
        "starved": float(starved.mean()),
    }


def _recalibrated(
    pooled: np.ndarray, learnt_on: PosteriorSet, method: str, seed: int
) -> np.ndarray:
    result = np.empty_like(pooled)
    for column, target in enumerate(learnt_on.targets):
        truth = learnt_on.truth[:, column]
        known = np.isfinite(truth)
        random = generator(seed, "calibration", "recalibrate", target)
        recalibrate = learn(method, learnt_on.pooled[known, :, column], truth[known], random)
        result[..., column] = recalibrate(pooled[..., column])
    return result


def _write(path: Path, parts: list[pd.DataFrame], quantities: tuple) -> None:
    columns = [quantity.name for quantity in quantities]
    table = pd.concat([part.reindex(columns=columns) for part in parts], ignore_index=True)
    write_table(path, table, quantities, {"set": SET})
