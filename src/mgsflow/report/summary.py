"""What a run ends by saying: Table 1, what it cost, and where the report is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import LINES, short_name
from mgsflow.report.table_cost import TOTAL
from mgsflow.report.writing import INTERVAL, MISSING, read_shown


def summary(*, results: Path) -> None:
    """Print Table 1 and the cost of the run whose results lie in the folder `results`.

    For a terminal: R2 without its interval, properties and emission lines one below the other.
    """
    page = results / "report.html"
    if not page.is_file():
        raise UserError(f"{page}: no such file. The run is not complete: run snakemake first.")
    console = Console(markup=False, highlight=False)  # "[N II]" is no command
    table1 = read_shown(results / "tables" / "table1.json")
    lines = [name for name in map(short_name, LINES) if name in table1]
    properties = [name for name in table1.columns[1:] if name not in lines]
    for title, columns in (("properties", properties), ("emission lines", lines)):
        if columns:
            console.print(_table(table1, columns, f"R² on the test set: {title}"))
    console.print(_cost(read_shown(results / "tables" / "cost.json")))
    console.print(f"With intervals, and all else: {page.resolve()}", soft_wrap=True)


def _table(shown: pd.DataFrame, columns: list[str], title: str) -> Table:
    """The rows that have a value in one of `columns`, published ones dim."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(str(shown.columns[0]))
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in shown.to_dict("records"):
        cells = [INTERVAL.sub(r"\1", row[name]) for name in columns]
        method = row[str(shown.columns[0])]
        if any(cell != MISSING for cell in cells):
            table.add_row(method, *cells, style="dim" if "published" in method else None)
    return table


def _cost(shown: pd.DataFrame) -> str:
    total = shown[shown["Training"] == TOTAL].iloc[0]
    energy = total["GPU energy"]
    spent = "" if energy == MISSING else f" and {energy} on the GPU"
    return f"All trainings together took {total['Wall time']}{spent}."
