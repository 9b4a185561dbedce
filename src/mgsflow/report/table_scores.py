"""All scores of all methods on the test set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.tables import read_table
from mgsflow.models.inputs import LABELS
from mgsflow.report.table1 import BASELINES
from mgsflow.report.writing import SHORT, show, write_tables

DIGITS = 3


def table_scores(*, scores: Path, out: Path) -> None:
    """Every score of every method and quantity: accuracy, coverage of the intervals, CRPS.

    `out` is the .csv; .md and .tex beside it. A baseline has no width: no coverage, and its CRPS
    is its mean absolute error.
    """
    numbers = read_table(scores)
    names = LABELS | BASELINES
    columns = {
        "R²": "r2",
        "R² of the mean head": "r2_mean_head",
        "RMSE": "rmse",
        "Bias": "bias",
        "NMAD": "nmad",
        "Coverage 68%": "coverage_68",
        "Coverage 95%": "coverage_95",
        "CRPS": "crps",
    }
    shown = pd.DataFrame(
        {
            "Quantity": numbers["target"].map(SHORT),
            "Method": numbers["method"].map(names),
            "Galaxies": numbers["n"].astype(str),
            **{head: [show(v, DIGITS) for v in numbers[name]] for head, name in columns.items()},
        }
    )
    order = numbers["target"].map(list(SHORT).index).sort_values(kind="stable").index
    write_tables(out, numbers, shown.loc[order])
