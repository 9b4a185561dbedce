"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[bool] | None = None
) -> str:
    """A Markdown table with one line per row, without a line break at its end.

    If `left` has a flag for each column, the flagged columns are left-aligned and the others are
    centred, and cells are padded to make the source readable too. Raises ValueError if a row does
    not have as many cells as `head`.
    """
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (head, *rows)]
    columns = list(zip(*lines, strict=True))
    if left is None:
        rule = ["---"] * len(columns)
    else:
        widths = [max(3, *map(len, column)) for column in columns]
        lines = [[c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines]
        rule = [
            f":{'-' * (width - 1)}" if flag else f":{'-' * (width - 2)}:"
            for width, flag in zip(widths, left, strict=True)
        ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
