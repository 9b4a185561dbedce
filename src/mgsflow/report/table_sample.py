"""How many galaxies came, stayed and left, and why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_facts
from mgsflow.report.writing import write_tables


def table_sample(*, account: Path, out: Path) -> None:
    """The account of the sample: by stage how many rows came, stayed and left, by reason.

    The commonest reason comes first. What was changed without loss, such as a flux set to 0, stands
    below its stage. `out` is the .csv; .json, .md and .tex beside it.
    """
    rows = []
    for stage in read_facts(account, "stages")["stages"]:
        name = stage["stage"]
        rows.append((name, "came", stage["came"]))
        rows += [(name, f"left: {why}", n) for why, n in _commonest_first(stage["reasons"])]
        rows.append((name, "stayed", stage["kept"]))
        rows += [(name, f"noted: {what}", n) for what, n in _commonest_first(stage["noted"])]
    numbers = pd.DataFrame(rows, columns=["stage", "what", "galaxies"])
    shown = numbers.rename(columns={"stage": "Stage", "what": "What", "galaxies": "Galaxies"})
    shown["Galaxies"] = shown["Galaxies"].map("{:,}".format)
    write_tables(out, numbers, shown)


def _commonest_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
