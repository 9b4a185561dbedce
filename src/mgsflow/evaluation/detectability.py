"""How well image and photometry predict whether a galaxy's metallicity is measurable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn import metrics as sklearn_metrics

from mgsflow.config import Evaluation
from mgsflow.core.files import write_json
from mgsflow.core.progress import say
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.seeds import derive_seed
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.evaluation.metrics import auc
from mgsflow.inference.draws import PosteriorSet, each_variant

SET = "test"
THRESHOLD = 0.5


def detectability(
    *,
    posteriors: list[Path],
    evaluation: Evaluation,
    seed: int,
    out: Path,
) -> None:
    """Score the predicted probability that metallicity is measurable on the test set.

    The output is JSON. Each variant has n, the confusion matrix [[tn, fp], [fn, tp]] at a
    probability of 0.5, the accuracy and the share of the larger class to compare it with, the
    balanced accuracy, the area under the ROC curve and the Brier score. Each score has its 95%
    bootstrap interval (`accuracy_low`, `accuracy_high`) and is null where it needs both classes but
    the test set has only one. A variant that does not model metallicity or its detectability has
    {"absent": reason}.
    """
    result = {}
    for variant, posterior in each_variant(posteriors, SET):
        reason = _absent(posterior)
        if reason:
            say(f"detectability: {variant}: {reason}")
        result[variant] = {"absent": reason} if reason else _judge(posterior, evaluation, seed)
    write_json(out, result)


def confusion_matrix(measured: np.ndarray, probability: np.ndarray) -> list[list[int]]:
    """[[true negatives, false positives], [false negatives, true positives]] at 0.5."""
    predicted = probability >= THRESHOLD
    return sklearn_metrics.confusion_matrix(measured, predicted, labels=[False, True]).tolist()


def accuracy(measured: np.ndarray, probability: np.ndarray) -> float:
    """Fraction of galaxies classified correctly at a threshold of 0.5."""
    return float(np.mean((probability >= THRESHOLD) == measured))


def balanced_accuracy(measured: np.ndarray, probability: np.ndarray) -> float:
    """Mean over the two classes of the fraction classified correctly; NaN with only one class."""
    if measured.all() or not measured.any():
        return float("nan")
    right = (probability >= THRESHOLD) == measured
    return float((right[measured].mean() + right[~measured].mean()) / 2)


def brier(measured: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared difference between probability and outcome (Brier 1950); 0 is perfect."""
    return float(np.mean((probability - measured) ** 2))


_SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "auc": auc,
    "brier": brier,
}


def _absent(posterior: PosteriorSet) -> str:
    if METALLICITY not in posterior.targets:
        return "metallicity is not among the targets"
    if posterior.measurable is None:
        return "whether metallicity is measurable is not modelled: every galaxy has one, or none"
    return "" if len(posterior.objid) else "the test set is empty"


def _judge(posterior: PosteriorSet, evaluation: Evaluation, seed: int) -> dict[str, object]:
    assert posterior.measurable is not None
    measured = np.isfinite(posterior.truth[:, posterior.column(METALLICITY)])
    probability = posterior.measurable.mean(axis=1, dtype=np.float64)
    share = float(measured.mean())
    result: dict[str, object] = {
        "n": len(measured),
        "threshold": THRESHOLD,
        "confusion_matrix": confusion_matrix(measured, probability),
        "majority_rate": max(share, 1 - share),
    }
    for name, score in _SCORES.items():
        result |= _with_interval(name, score, measured, probability, evaluation, seed)
    return result


def _with_interval(
    name: str,
    score: Callable[[np.ndarray, np.ndarray], float],
    measured: np.ndarray,
    probability: np.ndarray,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, float | None]:
    own_seed = derive_seed(seed, "detectability")
    estimate = bootstrap(score, (measured, probability), evaluation.bootstrap, own_seed)
    # JSON has no NaN
    columns = estimate.columns(name)
    return {key: value if np.isfinite(value) else None for key, value in columns.items()}
