"""What a run ends by saying: Table 1, what it cost, and where the report is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mgsflow.core.errors import UserError
from mgsflow.report.writing import read_markdown


def summary(*, results: Path) -> None:
    """Print Table 1 and the cost of the run whose results lie in the folder `results`."""
    page = results / "report.html"
    if not page.is_file():
        raise UserError(f"{page}: no such file. The run is not complete: run snakemake first.")
    console = Console()
    for name, title in (
        ("table1", "Table 1: R² on the test set"),
        ("cost", "Cost of the training"),
    ):
        console.print(_table(results / "tables" / f"{name}.md", title))
    console.print(f"Report: {page.resolve()}", soft_wrap=True)


def _table(path: Path, title: str) -> Table:
    shown = read_markdown(path)
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(shown.columns):
        table.add_column(str(name), justify="left" if i == 0 else "center")
    for row in shown.itertuples(index=False):
        table.add_row(*row, style="dim" if "published" in row[0] else None)
    return table
