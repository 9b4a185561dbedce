"""How many galaxies came, stayed and left, and why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_json
from mgsflow.report.writing import write_tables


def table_sample(*, account: Path, out: Path) -> None:
    """The account of the sample: by stage how many rows came, stayed and left, by reason.

    What was changed without loss, such as a flux set to 0, stands below its stage. `out` is the
    .csv; .md and .tex beside it.
    """
    rows = []
    for stage in read_json(account)["stages"]:
        name = stage["stage"]
        rows.append((name, "came", stage["came"]))
        rows += [(name, f"left: {why}", n) for why, n in sorted(stage["reasons"].items())]
        rows.append((name, "stayed", stage["kept"]))
        rows += [(name, f"noted: {what}", n) for what, n in sorted(stage["noted"].items())]
    numbers = pd.DataFrame(rows, columns=["stage", "what", "galaxies"])
    shown = numbers.rename(columns={"stage": "Stage", "what": "", "galaxies": "Galaxies"})
    shown["Galaxies"] = shown["Galaxies"].map("{:,}".format)
    write_tables(out, numbers, shown)
