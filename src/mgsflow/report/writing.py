"""Tables as CSV (numbers), and as JSON, Markdown and LaTeX (their texts)."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from mgsflow.core.files import atomic_path, read_facts, write_json, write_text
from mgsflow.core.markdown import markdown_table
from mgsflow.core.quantities import NOTATIONS
from mgsflow.evaluation.bootstrap import ENDS

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
    """Write `numbers` to `out`, a .csv, and `shown`, texts, beside it as .json, .md and .tex.

    The four files share their stem. The JSON is for the report's page (`read_shown`), the LaTeX a
    booktabs tabular to be \\input.
    """
    with atomic_path(out) as temporary:
        numbers.to_csv(temporary, index=False, float_format="%.6g")
    write_json(out.with_suffix(".json"), _texts(shown))
    write_text(out.with_suffix(".md"), to_markdown(shown))
    write_text(out.with_suffix(".tex"), to_latex(shown))


def read_shown(path: Path) -> pd.DataFrame:
    """The texts of a table, from its .json. Raises UserError where that cannot be had."""
    texts = read_facts(path, "columns", "rows")
    return pd.DataFrame(texts["rows"], columns=texts["columns"])


def _texts(shown: pd.DataFrame) -> dict[str, list]:
    """Every cell as text: `columns`, the head, and `rows`, one list each."""
    return {
        "columns": [str(name) for name in shown.columns],
        "rows": shown.astype(str).to_numpy().tolist(),
    }


def to_markdown(shown: pd.DataFrame) -> str:
    """A Markdown table: columns of text to the left, of numbers centred."""
    texts = _texts(shown)
    return markdown_table(texts["columns"], texts["rows"], text_columns(shown)) + "\n"


def text_columns(shown: pd.DataFrame) -> list[bool]:
    """Which columns hold words and not numbers: the first, and those with a cell of words."""
    words = re.compile(r"[^\W\d_]|[(\[]\w")  # begins with a letter, or with one in brackets
    columns = shown.astype(str).to_numpy().T
    return [i == 0 or any(words.match(cell) for cell in cells) for i, cells in enumerate(columns)]


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


def show_intervals(
    numbers: pd.DataFrame, name: str, digits: int = 2, factor: float = 1
) -> list[str]:
    """`factor` times the estimates in the columns `name`, `name_low` and `name_high`."""
    columns = (factor * numbers[f"{name}{end}"].astype(float) for end in ENDS)
    return [show_interval(*values, digits) for values in zip(*columns, strict=True)]


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
