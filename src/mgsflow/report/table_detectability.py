"""The detectability of metallicity: confusion matrix and what puts its accuracy into proportion."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_facts
from mgsflow.evaluation.bootstrap import ENDS
from mgsflow.models.inputs import LABELS
from mgsflow.report.published import DETECTABILITY_ACCURACY
from mgsflow.report.writing import MISSING, show_intervals, write_tables

FIGURES = {
    "Accuracy": "accuracy",
    "Majority rate": "majority_rate",
    "Balanced accuracy": "balanced_accuracy",
    "AUC": "auc",
    "Brier score": "brier",
}
CELLS = ("True negatives", "False positives", "False negatives", "True positives")


def table_detectability(*, detectability: Path, out: Path) -> None:
    """How well it is told whether a galaxy's metallicity is measurable, on the test set.

    An accuracy says little where one answer is mostly right: the majority rate is what the constant
    answer would reach. `out` is the .csv; .json, .md and .tex beside it.
    """
    judged = read_facts(detectability)
    rows = [_row(LABELS[variant], judged[variant]) for variant in LABELS if variant in judged]
    numbers = pd.DataFrame(
        [{"Method": "Paper, published", "accuracy": DETECTABILITY_ACCURACY}, *rows]
    )
    write_tables(out, numbers, _shown(numbers))


def _row(label: str, facts: dict) -> dict:
    if "absent" in facts:
        return {"Method": label, "remark": facts["absent"]}
    (tn, fp), (fn, tp) = facts["confusion_matrix"]
    scores = {name: value for name, value in facts.items() if name != "confusion_matrix"}
    return {"Method": label, **scores, **dict(zip(CELLS, (tn, fp, fn, tp), strict=True))}


def _shown(numbers: pd.DataFrame) -> pd.DataFrame:
    counts, figures = ["n", *CELLS], [f"{name}{end}" for name in FIGURES.values() for end in ENDS]
    numbers = numbers.reindex(columns=["Method", *counts, *figures, "remark"])
    shown = pd.DataFrame({"Method": numbers["Method"]})
    for head in counts:
        values = numbers[head].astype(float)
        shown[head] = [MISSING if pd.isna(value) else f"{value:,.0f}" for value in values]
    for head, name in FIGURES.items():
        shown[head] = show_intervals(numbers, name)
    shown = shown.rename(columns={"n": "Galaxies"})
    if numbers["remark"].notna().any():
        shown["Remark"] = numbers["remark"].fillna("")
    return shown
