"""Figures of merit of point predictions and of posteriors represented by draws.

Truths, predictions and draws have the same unit. A truth of NaN is missing, and its galaxy is
ignored. A prediction of NaN for a galaxy with a truth is an error, which makes the result NaN. The
result is also NaN if there are too few galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgsflow.core.tabular import blocks

# The standard deviation of a Gaussian in units of its median absolute deviation.
MAD_TO_SIGMA = 1.4826
PHOTO_Z_OUTLIER = 0.05  # |delta z| / (1 + z) beyond which Pasquet et al. (2019) call it an outlier
_CHUNK = 1 << 22  # draws sorted at once, which limits the float64 copies to 32 MB each


def r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Coefficient of determination, 1 - sum of squared errors / sum of squares about the mean.

    `truth` and `prediction` are (n,). R2 is 1 for a perfect prediction, 0 for the mean of the
    truths, and negative for anything worse; NaN for fewer than two truths or truths without spread.
    """
    truth, prediction = _complete(truth, prediction)
    if len(truth) < 2:
        return float("nan")
    spread = np.sum((truth - truth.mean()) ** 2)
    return float(1 - np.sum((prediction - truth) ** 2) / spread) if spread > 0 else float("nan")


def rmse(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Root of the mean squared error of (n,) predictions, in the truths' unit."""
    return float(np.sqrt(_mean(_errors(truth, prediction) ** 2)))


def bias(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean of prediction - truth, in the truths' unit."""
    return _mean(_errors(truth, prediction))


def nmad(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Normalised median absolute deviation of the errors d: 1.4826 median |d - median d|.

    For Gaussian errors it is their standard deviation; a few outliers have little effect on it.
    """
    return _nmad(_errors(truth, prediction))


def mean_absolute_error(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean |prediction - truth|, which is the CRPS of a prediction without width."""
    return _mean(np.abs(_errors(truth, prediction)))


def coverage(draws: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Fraction of `truth` (n,) within the central intervals of `draws` (n, S) at `level`.

    The quantiles are at Weibull's positions k / (S + 1): the rank of a truth among S draws of its
    own posterior is uniform on 0..S, so that a calibrated posterior covers `level` for any S.
    (Linear interpolation between the draws covers (S - 1) / (S + 1) of it.) With fewer than
    S = 2 / (1 - level) - 1 draws the interval ends at the outermost draws and covers less.
    """
    known = np.isfinite(truth)
    truth, draws = truth[known], draws[known]
    if not len(truth):
        return float("nan")
    inside = 0
    for rows in row_chunks(*draws.shape):
        tails = ((1 - level) / 2, (1 + level) / 2)
        low, high = np.quantile(draws[rows].astype(np.float64), tails, axis=1, method="weibull")
        inside += int(np.sum((low <= truth[rows]) & (truth[rows] <= high)))
    return inside / len(truth)


def crps(draws: np.ndarray, truth: np.ndarray) -> float:
    """Mean continuous ranked probability score of `draws` (n, S) at `truth` (n,), in their unit.

    Zero is perfect. The result is NaN with fewer than two draws.
    """
    known = np.isfinite(truth)
    truth, draws = np.asarray(truth[known], np.float64), draws[known]
    if draws.shape[1] < 2:
        return float("nan")
    return _mean(crps_each(draws, truth))


def crps_each(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score (n,) of each galaxy; no truth may be missing.

    The energy form E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, equation 21), with the
    second mean over pairs of different draws, is the fair estimate, unbiased for any S (Ferro
    2014). For sorted draws the sum over all pairs of x_j - x_i is sum_i (2 i - S - 1) x_(i), so
    that the cost per galaxy is S log S.
    """
    count = draws.shape[1]
    weights = (2 * np.arange(1, count + 1) - count - 1) / (count * max(count - 1, 1))
    result = np.empty(len(draws))
    for rows in row_chunks(*draws.shape):
        # relative to the truth, which does not change the score: a large mean costs no precision
        offsets = np.sort(draws[rows].astype(np.float64) - truth[rows, None], axis=1)
        result[rows] = np.abs(offsets).mean(axis=1) - offsets @ weights
    return result


@dataclass(frozen=True)
class PhotoZ:
    """Statistics of photometric redshifts, with delta = (z_phot - z_spec) / (1 + z_spec)."""

    bias: float
    sigma_mad: float
    outliers: float


def photo_z(truth: np.ndarray, prediction: np.ndarray) -> PhotoZ:
    """Mean of delta, 1.4826 median |delta - median delta|, and the fraction beyond 0.05.

    As Pasquet et al. (2019, A&A 621, A26) define them; `truth` and `prediction` are redshifts (n,).
    """
    truth, prediction = _complete(truth, prediction)
    delta = (prediction - truth) / (1 + truth)
    beyond = np.where(np.isnan(delta), np.nan, np.abs(delta) > PHOTO_Z_OUTLIER)
    return PhotoZ(_mean(delta), _nmad(delta), _mean(beyond))


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the probability that a positive galaxy scores above a negative one.

    `positive` (n,) bool, `score` (n,). Ties count half (Mann & Whitney 1947). NaN if either class
    is empty or any score is NaN.
    """
    others, positives = np.sort(score[~positive]), score[positive]
    if not len(others) or not len(positives) or np.isnan(score).any():
        return float("nan")
    below, up_to = (np.searchsorted(others, positives, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(others)))


def _complete(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(truth)
    return np.asarray(truth, np.float64)[known], np.asarray(prediction, np.float64)[known]


def _errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    truth, prediction = _complete(truth, prediction)
    return prediction - truth


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _nmad(errors: np.ndarray) -> float:
    if not len(errors):
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(errors - np.median(errors))))


def row_chunks(rows: int, columns: int) -> list[slice]:
    """Slices of `rows` rows with `columns` numbers each, which limit the memory in use at once."""
    return list(blocks(rows, max(1, _CHUNK // max(columns, 1))))
