"""Tables as CSV (numbers), Markdown and LaTeX (to be read)."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from mgsflow.core.files import atomic_path, write_text

MISSING = "–"
# The nine quantities in a table's head.
SHORT = {
    "redshift": "z",
    "log_stellar_mass": "log M⋆",
    "log_sfr": "log SFR",
    "log_black_hole_mass": "log M_BH",
    "metallicity": "12+log(O/H)",
    "log1p_h_alpha": "Hα",
    "log1p_h_beta": "Hβ",
    "log1p_nii_6584": "[N II] 6584",
    "log1p_oiii_5007": "[O III] 5007",
}
_LATEX = {
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "M_BH": r"$M_\mathrm{BH}$",
    "M⋆": r"$M_\star$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "σ": r"$\sigma$",
    "R²": r"$R^2$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    "–": "--",
    "×": r"$\times$",
    "→": r"$\to$",
    "[": "{[}",
}


def write_tables(out: Path, numbers: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Write `numbers` to `out`, a .csv, and `shown`, texts, beside it as .md and .tex.

    The three files share their stem. The LaTeX is a booktabs tabular to be \\input.
    """
    with atomic_path(out) as temporary:
        numbers.to_csv(temporary, index=False, float_format="%.6g")
    write_text(out.with_suffix(".md"), to_markdown(shown))
    write_text(out.with_suffix(".tex"), to_latex(shown))


def to_markdown(shown: pd.DataFrame) -> str:
    """A Markdown table: first column to the left, the others centred."""
    cells = [[str(name) for name in shown.columns], *shown.astype(str).to_numpy().tolist()]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    rule = [":" + "-" * (widths[0] - 1), *(":" + "-" * max(1, w - 2) + ":" for w in widths[1:])]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]]) + "\n"


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
    columns = "l" + "c" * (len(shown.columns) - 1)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *lines]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex(text: object) -> str:
    result = str(text)
    for character, command in _LATEX.items():
        result = result.replace(character, command)
    return _escape_underscores(result)


def _escape_underscores(text: str) -> str:
    """Underscores outside of mathematics."""
    parts = text.split("$")
    return "$".join(part if i % 2 else part.replace("_", r"\_") for i, part in enumerate(parts))


def show(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, a dash where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def show_seconds(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if math.isnan(seconds):
        return MISSING
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
