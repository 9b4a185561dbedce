"""All scores of all methods on the test set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.quantities import in_table_order, short_name
from mgsflow.core.tables import read_table
from mgsflow.models.inputs import LABELS
from mgsflow.report.published import IMAGES
from mgsflow.report.table1 import BASELINES, CEILING, PUBLISHED
from mgsflow.report.writing import MISSING, show, show_intervals, write_tables

DIGITS = 3
INTERVALS = {"R²": "r2", "R² of the mean head": "r2_mean_head"}
COLUMNS = {
    "RMSE": "rmse",
    "Bias": "bias",
    "NMAD": "nmad",
    "Photo-z σ_MAD": "photo_z_sigma_mad",
    "Coverage 68%": "coverage_68",
    "Coverage 95%": "coverage_95",
    "CRPS": "crps",
}


def table_scores(*, scores: Path, out: Path) -> None:
    """Every score of every method and quantity: accuracy, coverage of the intervals, CRPS.

    `out` is the .csv; .json, .md and .tex beside it. A baseline has no width: no coverage, and its
    CRPS is its mean absolute error. What images gave others stands first of its quantity.
    """
    ours = read_table(scores)
    numbers = pd.concat([published(set(ours["target"])), ours])[[*ours.columns]]
    order = numbers["target"].map(in_table_order(numbers["target"]).index).argsort(kind="stable")
    numbers = numbers.iloc[order].reset_index(drop=True)
    write_tables(out, numbers, _shown(numbers))


def published(targets: set[str]) -> pd.DataFrame:
    """The published figures of the `targets`, a row each, in the scores' columns."""
    rows = [
        {"method": f.method, "kind": PUBLISHED, "target": f.target, f.score: f.value}
        for f in IMAGES
        if f.target in targets
    ]
    scores = ["r2", "rmse", "photo_z_sigma_mad"]
    return pd.DataFrame(rows, columns=["method", "kind", "target", *scores])


def _shown(numbers: pd.DataFrame) -> pd.DataFrame:
    names = LABELS | BASELINES | CEILING
    shown = pd.DataFrame(
        {
            "Quantity": numbers["target"].map(short_name),
            "Method": [names.get(name, name) for name in numbers["method"]],
            "Galaxies": [MISSING if pd.isna(n) else str(int(n)) for n in numbers["n"]],
        }
    )
    for head, name in INTERVALS.items():
        shown[head] = show_intervals(numbers, name, DIGITS)
    limits = {(f.method, f.score) for f in IMAGES if f.below}
    for head, name in COLUMNS.items():
        shown[head] = [
            ("<" if (method, name) in limits else "") + show(value, DIGITS)
            for method, value in zip(numbers["method"], numbers[name], strict=True)
        ]
    return shown
