"""Scores of posteriors and baselines on the test set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Evaluation, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.core.variants import inputs_of, with_inputs
from mgsflow.evaluation import metrics
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.evaluation.ceiling import ceiling, target_errors
from mgsflow.inference.draws import PosteriorSet, each_variant
from mgsflow.sample.sky_blocks import BY_GALAXY

SET = "test"
CEILING = "ceiling"
_OWN = "; in the target's unit, lines in ln(1 + F)"
QUANTITIES = (
    Quantity("method", "", "Variant of the flows' inputs, or baseline"),
    Quantity("kind", "", "posterior, baseline, or ceiling by the catalogue's own errors"),
    Quantity("split", "", "How the sets were divided: the run's own split, or by blocks of sky"),
    Quantity("target", "", "Inferred quantity"),
    Quantity("n", "", "Test galaxies with a measured target: those that count"),
    Quantity("r2", "", "R2 of the point prediction; of a posterior, its mean over all draws"),
    Quantity("r2_low", "", "Lower end of the 95% bootstrap interval of r2"),
    Quantity("r2_high", "", "Upper end of the 95% bootstrap interval of r2"),
    Quantity("r2_mean_head", "", "R2 of the regression heads alone, mean over the members"),
    Quantity("r2_mean_head_low", "", "Lower end of the 95% bootstrap interval of r2_mean_head"),
    Quantity("r2_mean_head_high", "", "Upper end of the 95% bootstrap interval of r2_mean_head"),
    Quantity(
        "r2_gain",
        "",
        "R2 with rest-frame colours less that of the same inputs with observed ones: what the "
        "spectroscopic redshift brings that the K-corrections know",
    ),
    Quantity("r2_gain_low", "", "Lower end of its 95% interval, of a paired bootstrap"),
    Quantity("r2_gain_high", "", "Upper end of its 95% interval, of a paired bootstrap"),
    Quantity("rmse", "", "Root mean squared error" + _OWN),
    Quantity("bias", "", "Mean of prediction - truth" + _OWN),
    Quantity("nmad", "", "1.4826 times the median absolute deviation of the errors" + _OWN),
    Quantity("coverage_68", "", "Fraction of truths within the central 68% interval"),
    Quantity("coverage_95", "", "Fraction of truths within the central 95% interval"),
    Quantity(
        "crps",
        "",
        "Mean continuous ranked probability score; of a baseline, which has no width, its mean "
        "absolute error" + _OWN,
    ),
    Quantity("photo_z_bias", "", "Redshift: mean of (z_phot - z_spec) / (1 + z_spec)"),
    Quantity("photo_z_sigma_mad", "", "Redshift: 1.4826 MAD of the same"),
    Quantity("photo_z_outliers", "", "Redshift: fraction with its absolute value beyond 0.05"),
)
COLUMNS = [quantity.name for quantity in QUANTITIES]


def scores(
    *,
    features: Path,
    selected: Path,
    posteriors: list[Path],
    baselines: list[Path],
    targets: Targets,
    evaluation: Evaluation,
    seed: int,
    out: Path,
) -> None:
    """Score posteriors and baselines on the test set: one row for each method and target.

    Galaxies without a measured target are ignored. The bootstrap draws the same galaxies for every
    method, so that the intervals of one target can be compared. A split by blocks of sky has its
    own test set, from which whole blocks are drawn. The ceiling is the upper limit on R2 set by the
    errors in --selected, for the test galaxies that have an error.
    """
    rows: list[dict[str, object]] = []
    means: dict[str, pd.DataFrame] = {}
    for variant, posterior in each_variant(posteriors, SET):
        say(f"scores: {variant}")
        rows += [
            _score_posterior(variant, posterior, target, evaluation, seed)
            for target in posterior.targets
        ]
        means[variant] = _means(posterior)
    for row in rows:
        row |= _gain(str(row["method"]), str(row["target"]), means, evaluation, seed)
    rows += _score_baselines(baselines, features, evaluation, seed)
    rows += _ceilings(selected, features, targets, evaluation, seed)
    write_table(out, pd.DataFrame(rows, columns=COLUMNS), QUANTITIES, {"set": SET})


def _score_posterior(
    variant: str, posterior: PosteriorSet, target: str, evaluation: Evaluation, seed: int
) -> dict[str, object]:
    column = posterior.column(target)
    truth, draws = posterior.truth[:, column], posterior.pooled[:, :, column]
    head = posterior.mean_head[:, :, column].mean(axis=1, dtype=np.float64)
    mean = draws.mean(axis=1, dtype=np.float64)
    order = np.argsort(posterior.objid)  # the order of the bootstrap, the same for every method
    return {
        "method": variant,
        "kind": "posterior",
        "split": BY_GALAXY,
        **_score_point(truth[order], mean[order], target, evaluation, seed),
        **_r2("r2_mean_head", truth[order], head[order], target, evaluation, seed),
        "coverage_68": metrics.coverage(draws, truth, 0.68),
        "coverage_95": metrics.coverage(draws, truth, 0.95),
        "crps": metrics.crps(draws, truth),
    }


def _means(posterior: PosteriorSet) -> pd.DataFrame:
    """Truth and mean of each target, (TARGET, truth) and (TARGET, mean), sorted by objid."""
    columns = {}
    for i, target in enumerate(posterior.targets):
        columns[target, "truth"] = posterior.truth[:, i]
        columns[target, "mean"] = posterior.pooled[:, :, i].mean(axis=1, dtype=np.float64)
    return pd.DataFrame(columns, index=posterior.objid).sort_index()


def _gain(
    variant: str, target: str, means: dict[str, pd.DataFrame], evaluation: Evaluation, seed: int
) -> dict[str, float]:
    """Gain in R2 of rest-frame over observed colours, by a bootstrap of the same galaxies."""
    inputs, _, colours = inputs_of(variant).rpartition("-")
    other = with_inputs(variant, f"{inputs}-observed")
    partner = means.get(other)
    if colours != "rest_frame" or partner is None:
        return {}
    ours = means[variant]
    if not ours.index.equals(partner.index):
        raise UserError(
            f"--posteriors: {variant} and {other} have different test galaxies, so they come from "
            "different runs. Rerun the stage sample-posteriors."
        )
    truth = ours[target, "truth"].to_numpy()
    known = np.isfinite(truth)
    pair = [table[target, "mean"].to_numpy() for table in (ours, partner)]

    def difference(truth: np.ndarray, rest: np.ndarray, observed: np.ndarray) -> float:
        return metrics.r2(truth, rest) - metrics.r2(truth, observed)

    arrays = [values[known] for values in (truth, *pair)]
    return _with_interval("r2_gain", difference, arrays, target, evaluation, seed)


def _r2(
    name: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    target: str,
    evaluation: Evaluation,
    seed: int,
    blocks: np.ndarray | None = None,
) -> dict[str, float]:
    known = np.isfinite(truth)
    arrays = [truth[known], prediction[known]]
    blocks = None if blocks is None else blocks[known]
    return _with_interval(name, metrics.r2, arrays, target, evaluation, seed, blocks)


def _with_interval(
    name: str,
    statistic: Callable[..., float],
    arrays: list[np.ndarray],
    target: str,
    evaluation: Evaluation,
    seed: int,
    blocks: np.ndarray | None = None,
) -> dict[str, float]:
    """A statistic and its bootstrap interval; all methods use the same resamples of a target."""
    own_seed = derive_seed(seed, "scores", target)
    estimate = bootstrap(statistic, tuple(arrays), evaluation.bootstrap, own_seed, blocks)
    return estimate.columns(name)


def _score_baselines(
    baselines: list[Path], features: Path, evaluation: Evaluation, seed: int
) -> list[dict[str, object]]:
    columns = ["method", "objid", "set", "target", "prediction", "split", "block"]
    table = pd.concat([read_table(path, columns) for path in baselines], ignore_index=True)
    table = table[table["set"] == SET]
    truths = _truths(features, sorted(table["target"].unique()))
    rows = []
    for (method, split, target), part in table.groupby(["method", "split", "target"], sort=False):
        # a baseline with its own split has its own test set
        own = truths["set"] == SET if split == BY_GALAXY else truths.index.isin(part["objid"])
        part = part.set_index("objid").reindex(truths.index[own])
        absent = part.index[part["prediction"].isna()]
        if len(absent):
            raise UserError(
                f"--baselines: {method} has no prediction of {target} for galaxy {absent[0]} of "
                f"{features}. Rerun the stage that trains it."
            )
        truth = truths.loc[own, target].to_numpy(np.float64)
        values = part["prediction"].to_numpy()
        blocks = None if split == BY_GALAXY else part["block"].to_numpy()
        row = {
            "method": method,
            "kind": "baseline",
            "split": split,
            **_score_point(truth, values, target, evaluation, seed, blocks),
            "crps": metrics.mean_absolute_error(truth, values),
        }
        rows.append(row)
    return rows


def _ceilings(
    selected: Path, features: Path, targets: Targets, evaluation: Evaluation, seed: int
) -> list[dict[str, object]]:
    errors = target_errors(read_table(selected), targets)
    truths = _truths(features, list(errors))
    truths = truths[truths["set"] == SET]
    errors = errors.reindex(truths.index)
    rows = []
    for target in errors:
        known = (truths[target].notna() & errors[target].notna()).to_numpy()
        if known.any():
            arrays = [table[target].to_numpy(np.float64)[known] for table in (truths, errors)]
            row = {"method": CEILING, "kind": CEILING, "split": BY_GALAXY, "target": target}
            row |= _with_interval("r2", ceiling, arrays, target, evaluation, seed)
            rows.append(row | {"n": int(known.sum())})
    return rows


def _truths(features: Path, targets: list[str]) -> pd.DataFrame:
    """Sets and targets of all galaxies, sorted by objid; NaN where missing."""
    return read_table(features, ["objid", "set", *targets]).set_index("objid").sort_index()


def _score_point(
    truth: np.ndarray,
    prediction: np.ndarray,
    target: str,
    evaluation: Evaluation,
    seed: int,
    blocks: np.ndarray | None = None,
) -> dict[str, object]:
    row: dict[str, object] = {
        "target": target,
        "n": int(np.isfinite(truth).sum()),
        **_r2("r2", truth, prediction, target, evaluation, seed, blocks),
        "rmse": metrics.rmse(truth, prediction),
        "bias": metrics.bias(truth, prediction),
        "nmad": metrics.nmad(truth, prediction),
    }
    if target == "redshift":
        figures = asdict(metrics.photo_z(truth, prediction))
        row |= {f"photo_z_{name}": value for name, value in figures.items()}
    return row
