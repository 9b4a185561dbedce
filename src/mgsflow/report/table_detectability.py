"""The detectability of metallicity: confusion matrix and what puts its accuracy into proportion."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_json
from mgsflow.models.inputs import LABELS
from mgsflow.report.published import DETECTABILITY_ACCURACY
from mgsflow.report.writing import MISSING, show, write_tables

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
    answer would reach. `out` is the .csv; .md and .tex beside it.
    """
    judged = read_json(detectability)
    rows = [_row(LABELS[variant], facts) for variant, facts in judged.items()]
    numbers = pd.DataFrame([{"Method": "Paper, published", "accuracy": DETECTABILITY_ACCURACY}, *rows])
    write_tables(out, numbers, _shown(numbers))


def _row(label: str, facts: dict) -> dict:
    if "absent" in facts:
        return {"Method": label, "remark": facts["absent"]}
    (tn, fp), (fn, tp) = facts["confusion_matrix"]
    scores = {name: value for name, value in facts.items() if name != "confusion_matrix"}
    return {"Method": label, **scores, **dict(zip(CELLS, (tn, fp, fn, tp), strict=True))}


def _shown(numbers: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame({"Method": numbers["Method"]})
    for head in CELLS:
        values = numbers.get(head, pd.Series(float("nan"), index=numbers.index))
        shown[head] = [MISSING if pd.isna(value) else f"{value:.0f}" for value in values]
    for head, name in FIGURES.items():
        values = numbers.get(name, pd.Series(float("nan"), index=numbers.index))
        shown[head] = [show(value) for value in values.astype(float)]
    if "remark" in numbers:
        shown["Remark"] = numbers["remark"].fillna("")
    return shown
