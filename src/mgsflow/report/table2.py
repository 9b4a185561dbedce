"""Table 2: aleatoric and epistemic uncertainty of each quantity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.quantities import in_table_order, short_name
from mgsflow.core.tables import read_table
from mgsflow.models.inputs import LABELS
from mgsflow.report.published import TABLE2
from mgsflow.report.writing import show, write_tables


def table2(*, uncertainty: Path, out: Path) -> None:
    """Table 2: aleatoric and epistemic sigma on the validation set, published values first.

    In the unit of each quantity; lines in ln(1 + F). The published quantities come first, in the
    paper's order. `out` is the .csv; .json, .md and .tex beside it.
    """
    ours = read_table(uncertainty)
    inferred = in_table_order(ours["target"])
    targets = [name for name in TABLE2 if name in inferred]
    published = pd.DataFrame(
        [("Paper, published", target, np.nan, *TABLE2[target]) for target in targets],
        columns=["method", "target", "n", "aleatoric", "epistemic"],
    )
    ours = ours.assign(method=ours["variant"].map(LABELS))[
        ["method", "target", "n", "aleatoric", "epistemic", "total"]
    ]
    numbers = pd.concat([published, ours], ignore_index=True)
    others = [name for name in inferred if name not in TABLE2]
    write_tables(out, numbers, _shown(numbers, targets + others))


def _shown(numbers: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    rows = []
    for method in dict.fromkeys(numbers["method"]):
        part = numbers[numbers["method"] == method].set_index("target")
        for sigma, name in (("σ ale", "aleatoric"), ("σ epi", "epistemic")):
            values = [show(part[name].get(target, np.nan), 3) for target in targets]
            rows.append([method, sigma, *values])
    return pd.DataFrame(rows, columns=["Method", "", *map(short_name, targets)])
