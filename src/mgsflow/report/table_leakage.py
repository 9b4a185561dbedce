"""The leakage report: what was checked, how many, and the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.quantities import short_name
from mgsflow.core.tables import read_table
from mgsflow.report.writing import MISSING, show, write_tables

DIGITS = 3


def table_leakage(*, leakage: Path, out: Path) -> None:
    """Show the stage leakage's table, a line a check; .json, .md and .tex lie beside `out`.

    The share is that of the galaxies, inputs or numbers checked; the figure is what the remark
    says, with its range where it has one.
    """
    numbers = read_table(leakage)
    shown = pd.DataFrame(
        {
            "Check": numbers["check"],
            "Of": numbers["subject"].map(short_name),
            "Checked": [f"{count:,}" for count in numbers["checked"]],
            "Found": [f"{count:,}" for count in numbers["found"]],
            "Share": [_share(row.found, row.checked) for row in numbers.itertuples()],
            "Figure": [_figure(row) for row in numbers.itertuples()],
            "Verdict": numbers["verdict"],
            "Remark": [text or MISSING for text in numbers["remark"]],
        }
    )
    write_tables(out, numbers, shown)


def _share(found: int, checked: int) -> str:
    return f"{100 * found / checked:.1f}%" if found else MISSING


def _figure(row: object) -> str:
    value = show(row.value, DIGITS)
    if np.isnan(row.value_low):
        return value
    return f"{value} ({show(row.value_low, DIGITS)} to {show(row.value_high, DIGITS)})"
