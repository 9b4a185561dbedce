"""The stage that compares the posteriors with the fits: core-seconds per galaxy, and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, write_json
from mgsflow.core.progress import say
from mgsflow.core.tables import read_notes, read_table
from mgsflow.evaluation.metrics import bias, r2
from mgsflow.evaluation.sed.fit_sed import QUANTILES
from mgsflow.evaluation.sed.galaxies import SET
from mgsflow.evaluation.sed.method_names import ALL, FITTED, NESTED, TEMPLATES
from mgsflow.inference.draws import each_variant

TARGETS = ("log_stellar_mass", "log_sfr")
LEAST_OF_R2 = 10  # minimum number of galaxies: the spread of fewer truths is largely chance
# Intended speed-up of the posteriors over bagpipes, in core-seconds on a CPU and in seconds of a
# GPU
GOALS = {"cpu": 1.0e4, "cuda": 1.0e6}


def compare_speed(
    *,
    sed: Path,
    truth: Path,
    speed: Path,
    posteriors: list[Path],
    out: Path,
) -> None:
    """Compare the speed and the accuracy of the posteriors with those of bagpipes and kcorrect.

    Time: core-seconds per galaxy from stamp and magnitudes to draws, measured by the stage speed
    (on a GPU: elapsed seconds), for as many draws as bagpipes'; and the ratios, unless the two
    stages ran on different processors, which `remark` then says. Training is given separately, as
    CPU time (on a GPU: wall time), with the number of galaxies from which it pays off.

    Accuracy: bias, scatter (the standard deviation of the errors), R2 and the coverage of the
    central 68% interval, by method and target. Medians are compared with the simulated sky's
    `truth`, for the galaxies that bagpipes fitted and, except for bagpipes, for the whole test set.
    """
    fits, notes, facts = read_table(sed), read_notes(sed), read_json(speed)
    if facts["draws"] != notes["draws"]:
        raise UserError(
            f"{speed} is for {facts['draws']} draws, {sed} for {notes['draws']}: times are "
            "compared at equal draws. Rerun the older of the two stages."
        )
    summaries = [fits, *_summaries(posteriors)]
    result = _times(fits, notes, facts)
    true = read_table(truth, ["objid", *TARGETS]).set_index("objid")
    result["accuracy"] = _accuracies(pd.concat(summaries, ignore_index=True), true)
    for way, ratio in result["ratios"].get(NESTED, {}).items():
        say(f"compare-speed: {way}, {ratio:.3g} times as fast as bagpipes")
    if result["remark"]:
        say(f"compare-speed: {result['remark']}")
    write_json(out, result)


def _summaries(posteriors: list[Path]) -> list[pd.DataFrame]:
    """Quantiles of each variant's posteriors, in the columns of the stage fit-sed."""
    tables = []
    for variant, posterior in each_variant(posteriors, SET):
        for target in TARGETS:
            if target not in posterior.targets:
                continue
            draws = posterior.pooled[:, :, posterior.column(target)].astype(np.float64)
            levels = np.quantile(draws, list(QUANTILES.values()), axis=1)
            columns = {"objid": posterior.objid, "method": variant, "target": target}
            tables.append(pd.DataFrame(columns | dict(zip(QUANTILES, levels, strict=True))))
    return tables


# ---------------------------------------------------------------- time


def _times(fits: pd.DataFrame, notes: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    nested = _each(fits, NESTED)
    on_cpu = facts["device_type"] == "cpu"
    counted = "core_seconds" if on_cpu else "total"
    ours = {way: facts[way][counted] for way in ("batch", "single")}
    fitted = {
        NESTED: {"batch": nested.mean(), "single": nested.mean()},
        TEMPLATES: {
            "batch": _each(fits, TEMPLATES).mean(),
            "single": notes["kcorrect_single_core_seconds"],
        },
    }
    paid = "cpu_seconds" if on_cpu else "wall_seconds"
    training = sum(run[paid] for run in facts["training"].values())
    remark = ""
    if on_cpu and facts["device"] != notes["processor"]:
        remark = (
            f"No ratios: ours was timed on {facts['device']}, the fits on {notes['processor']}. "
            "Run the rules speed and fit_sed on nodes of one kind."
        )
    alike = {} if remark else fitted
    return {
        "remark": remark,
        "fits": notes,
        "ours": {key: facts[key] for key in ("variant", "device", "threads", "draws", "members")}
        | {"device_type": facts["device_type"], "galaxies": facts["batch"]["galaxies"]},
        "core_seconds": {**{name: fitted[name] for name in fitted}, "ours": ours},
        "bagpipes_range": [nested.min(), nested.max()],
        "bagpipes_galaxies": len(nested),
        "ratios": {
            name: {way: seconds[way] / ours[way] for way in ours} for name, seconds in alike.items()
        },
        "goal": GOALS[facts["device_type"]],
        "training": {
            "core_seconds": training,
            "break_even": None
            if remark
            else _break_even(training, ours["batch"], fitted[NESTED]["batch"]),
        },
    }


def _each(fits: pd.DataFrame, method: str) -> pd.Series:
    """Core-seconds of each galaxy; the table has a row per target."""
    part = fits[fits["method"] == method]
    return part.groupby("objid")["core_seconds"].first()


def _break_even(training: float, ours: float, theirs: float) -> float | None:
    """Number of galaxies whose fits take as long as training and inference; None if none do."""
    return training / (theirs - ours) if theirs > ours else None


# ---------------------------------------------------------------- accuracy


def _accuracies(summaries: pd.DataFrame, truth: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per group of galaxies, method and target."""
    fitted = summaries.loc[summaries["method"] == NESTED, "objid"].unique()
    # the estimate is the mean of a point estimate but the median of a posterior: the mean logarithm
    # of a star-formation rate depends on how close to zero the prior allows the rate to be
    summaries = summaries.assign(estimate=summaries["q50"].fillna(summaries["mean"]))
    rows = []
    for sample in (FITTED, ALL):
        part = summaries if sample == ALL else summaries[summaries["objid"].isin(fitted)]
        part = part[(part["method"] != NESTED) | (sample == FITTED)]
        for (method, target), group in part.groupby(["method", "target"], sort=False):
            if target in TARGETS:
                rows.append({"sample": sample, "method": method, "target": target})
                rows[-1] |= _accuracy(group, truth.loc[group["objid"], target].to_numpy())
    return rows


def _accuracy(group: pd.DataFrame, truth: np.ndarray) -> dict[str, float | int | None]:
    estimate = group["estimate"].to_numpy(np.float64)
    known = np.isfinite(estimate) & np.isfinite(truth)
    low, high = (group[q].to_numpy(np.float64)[known] for q in ("q16", "q84"))
    estimate, truth = estimate[known], truth[known]
    inside = (low <= truth) & (truth <= high)
    return {
        "galaxies": len(truth),
        "bias": _number(bias(truth, estimate)),
        "scatter": _number(np.std(estimate - truth)) if len(truth) else None,
        "r2": _number(r2(truth, estimate)) if len(truth) >= LEAST_OF_R2 else None,
        "coverage_68": _number(inside.mean()) if len(low) and np.isfinite(low).all() else None,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
