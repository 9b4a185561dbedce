"""Tables as CSV (numbers), Markdown and LaTeX (to be read)."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from mgsflow.core.files import atomic_path, write_text
from mgsflow.core.quantities import NOTATIONS

MISSING = "–"
# What is set otherwise in LaTeX, the symbols of quantities first: they hold characters of the rest.
_LATEX = {
    **{notation.plain: notation.latex for notation in NOTATIONS},
    "R²": r"$R^2$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "σ": r"$\sigma$",
    "µ": r"$\mu$",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "→": r"$\to$",
    ">": "$>$",
    "<": "$<$",
    "–": "--",
    "[": "{[}",  # at the start of a row it would be an option of the line break before it
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%#$_{}"},
}
_LATEX_PART = re.compile("|".join(re.escape(part) for part in _LATEX))
# A value with both arms of its interval, as `show_interval` writes it.
INTERVAL = re.compile(r"(−?\d+\.\d+) ([+−]\d+\.\d+) ([+−]\d+\.\d+)")


def write_tables(out: Path, numbers: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Write `numbers` to `out`, a .csv, and `shown`, texts, beside it as .md and .tex.

    The three files share their stem. The LaTeX is a booktabs tabular to be \\input.
    """
    with atomic_path(out) as temporary:
        numbers.to_csv(temporary, index=False, float_format="%.6g")
    write_text(out.with_suffix(".md"), to_markdown(shown))
    write_text(out.with_suffix(".tex"), to_latex(shown))


def to_markdown(shown: pd.DataFrame) -> str:
    """A Markdown table: columns of text to the left, of numbers centred."""
    cells = [[str(name) for name in shown.columns], *shown.astype(str).to_numpy().tolist()]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(cells[0]))]
    rule = [
        f":{'-' * (width - 1)}" if left else f":{'-' * (width - 2)}:"
        for width, left in zip(widths, text_columns(shown), strict=True)
    ]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]]) + "\n"


def text_columns(shown: pd.DataFrame) -> list[bool]:
    """Which columns hold words and not numbers: the first, and those with a cell of words."""
    words = re.compile(r"[^\W\d_]|[(\[]\w")  # begins with a letter, or with one in brackets
    columns = shown.astype(str).to_numpy().T
    return [i == 0 or any(words.match(cell) for cell in cells) for i, cells in enumerate(columns)]


def read_markdown(path: Path) -> pd.DataFrame:
    """The texts of a table that `to_markdown` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip().replace("\0", "|") for cell in line.replace("\\|", "\0")[1:-1].split("|")]
        for line in lines
    ]
    return pd.DataFrame(rows[2:], columns=rows[0])


def to_latex(shown: pd.DataFrame) -> str:
    """A booktabs tabular."""
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in shown.astype(str).to_numpy()]
    head = " & ".join(map(_latex, shown.columns)) + r" \\"
    columns = "".join("l" if left else "c" for left in text_columns(shown))
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *lines]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex(text: object) -> str:
    if len(str(text)) == 1 and str(text).isalpha():  # a lone letter is a symbol: z
        return f"${text}$"
    interval = INTERVAL.fullmatch(str(text))
    if interval:
        value, above, below = (part.replace("−", "-") for part in interval.groups())
        return f"${value}^{{{above}}}_{{{below}}}$"
    return _LATEX_PART.sub(lambda match: _LATEX[match[0]], str(text))


def show(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, a dash where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def show_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """A value with the arms of its interval, such as 0.81 +0.02 −0.03; without one, the value.

    Arms and not half a width: intervals of R2 are lopsided where galaxies are few.
    """
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return show(value, digits)
    above, below = _arm(high - value, "+", digits), _arm(low - value, "-", digits)
    return f"{show(value, digits)} {above} {below}".replace("-", "−")


def _arm(length: float, sign: str, digits: int) -> str:
    """A signed length; `sign` is that of a length that rounds to 0."""
    text = f"{length:+.{digits}f}"
    return text if float(text) else sign + text[1:]


def show_seconds(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if math.isnan(seconds):
        return MISSING
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
