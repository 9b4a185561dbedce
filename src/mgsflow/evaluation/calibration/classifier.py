"""Local classifier two-sample test: can a classifier distinguish truths from draws?

The test follows Linhart, Gramfort & Rodrigues (2023, NeurIPS, L-C2ST). A classifier is trained to
distinguish pairs of (truth, inputs) from pairs of (draw, inputs). If it succeeds on galaxies that
it was not trained on, the posterior is wrong; where its probabilities differ from one half, the
posterior is wrong there. As in their variant for flows, the classifier works in the posterior's own
Gaussian coordinates. Their null comes from classifiers trained on permuted labels; here it comes
from draws that replace the truths, which is the same exchange, and exact.

The classifier is scikit-learn's logistic regression. Its features are the coordinates, their
squares and products, and the coordinates and squares times the inputs: a quadratic discriminant
that depends on the inputs. It is linear in its parameters, so that dozens of nulls take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mgsflow.evaluation.calibration.coordinates import Coordinates

DRAWS = 4  # draws per galaxy, beside its truth
LEAST = 40  # minimum number of galaxies to train and evaluate a classifier
_SHRINKAGE = 0.01  # scikit-learn's C: there are many features, and most carry no information
_TAIL = 0.05  # upper tail of the null in which a galaxy's own statistic counts as rejected


@dataclass(frozen=True)
class Classified:
    """Results of the classifier.

    Attributes
    ----------
    auc : area under its ROC curve on galaxies that it was not trained on; 0.5 if it learnt nothing
    p_value : one-sided p-value of that area; under the null, draws replace the truths
    local : share of galaxies whose own L-C2ST statistic, the mean of (d - 1/2)^2 over draws, is
        above the null's 95th percentile; 0.05 is expected for a calibrated posterior
    """

    auc: float
    p_value: float
    local: float


def classify(
    coordinates: Coordinates, inputs: np.ndarray, nulls: int, most: int, random: np.random.Generator
) -> Classified:
    """L-C2ST in the `coordinates` of n galaxies, of which at most `most` are used.

    `inputs` are (n, p). The p-value assumes that the `nulls` areas of the null are Gaussian. All
    results are NaN if there are too few galaxies or draws.
    """
    rows = random.permutation(len(inputs))[:most]
    needed = DRAWS + 1
    if len(rows) < LEAST or coordinates.pseudo_truths < needed:
        return Classified(*3 * [float("nan")])
    inputs, draws = inputs[rows], coordinates.white_draws[rows]
    folds = np.arange(len(rows)) % 2  # the galaxies are in random order
    # scikit-learn's validation of its arguments would take as long as the fits
    with config_context(assume_finite=True, skip_parameter_validation=True):
        area, squares = _fit(coordinates.white_truth[rows], draws[:, :DRAWS], inputs, folds)
        areas, null_squares = [], []
        for _ in range(nulls):
            chosen = random.choice(coordinates.pseudo_truths, needed, replace=False)
            one, few = draws[:, chosen[0]], draws[:, chosen[1:]]
            null_area, null_square = _fit(one, few, inputs, folds)
            areas.append(null_area)
            null_squares.append(null_square)
    scatter = np.std(areas, ddof=1) * np.sqrt(1 + 1 / nulls)
    p_value = stats.t.sf((area - np.mean(areas)) / scatter, nulls - 1)
    beyond = squares > np.quantile(null_squares, 1 - _TAIL, axis=0, method="weibull")
    return Classified(float(area), float(p_value), float(np.mean(beyond)))


def _fit(
    truth: np.ndarray, draws: np.ndarray, inputs: np.ndarray, folds: np.ndarray
) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, each half scored by the other's classifier, and (n,) squares."""
    n, count, _ = draws.shape
    points = np.concatenate([truth[:, None], draws], axis=1)
    features = _features(points, inputs)
    labels = np.tile([1] + [0] * count, (n, 1))
    judged = np.empty((n, count + 1))
    for fold in (0, 1):
        seen, unseen = folds != fold, folds == fold
        width = features.shape[2]
        model = LogisticRegression(C=_SHRINKAGE, solver="newton-cholesky", class_weight="balanced")
        model.fit(features[seen].reshape(-1, width), labels[seen].ravel())
        judged[unseen] = model.predict_proba(features[unseen].reshape(-1, width))[:, 1].reshape(
            -1, count + 1
        )
    squares = np.mean((judged[:, 1:] - 0.5) ** 2, axis=1)
    return float(roc_auc_score(labels.ravel(), judged.ravel())), squares


def _features(points: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Features of `points` (n, m, T) and `inputs` (n, p), of about unit spread for a Gaussian."""
    n, count, targets = points.shape
    points = np.clip(points, -4, 4)
    squares = (points**2 - 1) / np.sqrt(2)
    pairs = [points[..., j] * points[..., k] for j in range(targets) for k in range(j)]
    parts = [points, squares, *([np.stack(pairs, axis=-1)] if pairs else [])]
    moments = np.concatenate([points, squares], axis=-1)
    crossed = moments[..., None] * np.clip(inputs, -3, 3)[:, None, None]
    return np.concatenate([*parts, crossed.reshape(n, count, -1)], axis=-1)
