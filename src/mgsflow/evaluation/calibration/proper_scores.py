"""Proper scores of each galaxy's posterior: lower is better, and the true posterior is best.

Strictly proper scores also penalise what tests of calibration miss: a posterior that returns the
prior for every galaxy is calibrated, but scores worse. Draws must be shuffled: see `shuffled`.
"""

from __future__ import annotations

import numpy as np

from mgsflow.evaluation.metrics import row_chunks

_SHIFTS = 8  # number of partners of each draw in means over pairs of draws
_TAIL_FREEDOM = 3  # degrees of freedom of the Student t that is added to the kernels


def shuffled(draws: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
    """At most `most` of each galaxy's draws (n, S, ...), in random order.

    Shuffling mixes the members of an ensemble, so that any subset of the draws represents all.
    """
    order = np.argsort(random.random(draws.shape[:2]), axis=1)[:, :most]
    return np.take_along_axis(draws, order.reshape(*order.shape, *[1] * (draws.ndim - 2)), axis=1)


def crps_of_prior(truth: np.ndarray) -> np.ndarray:
    """CRPS (n,) if each galaxy's posterior is the distribution of the other galaxies' truths."""
    n = len(truth)
    if n < 3:
        return np.full(n, np.nan)
    order = np.argsort(truth)
    ordered = truth[order].astype(np.float64)
    below = np.arange(n)
    sums = np.concatenate([[0], np.cumsum(ordered)])
    # sum over the others of |y_i - y_j|, and over all pairs of the others of |y_j - y_k|
    near = ordered * (2 * below + 1 - n) + sums[-1] - sums[1:] - sums[:-1]
    pairs = near.sum() / 2 - near
    result = np.empty(n)
    result[order] = near / (n - 1) - pairs / ((n - 1) * (n - 2))
    return result


def energy(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Energy score (n,) of joint `draws` (n, S, T) at `truth` (n, T), in standardised units.

    E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, equation 22); the second mean is over pairs
    of different draws.
    """
    result = np.empty(len(draws))
    for rows in row_chunks(len(draws), draws[0].size if len(draws) else 1):
        joint = draws[rows].astype(np.float64)
        near = np.linalg.norm(joint - truth[rows, None], axis=2).mean(axis=1)
        result[rows] = near - _pair_mean(joint) / 2
    return result


def _pair_mean(draws: np.ndarray) -> np.ndarray:
    shifts = range(1, min(_SHIFTS, draws.shape[1] - 1) + 1)
    distances = [np.linalg.norm(draws - np.roll(draws, s, axis=1), axis=2) for s in shifts]
    return np.mean([distance.mean(axis=1) for distance in distances], axis=0)


def variogram(draws: np.ndarray, truth: np.ndarray, order: float = 0.5) -> np.ndarray:
    """Variogram score (n,) of joint `draws` (n, S, T), on the differences between the targets.

    The sum over pairs of (|y_j - y_k|^p - E|X_j - X_k|^p)^2 (Scheuerer & Hamill 2015, equation 4,
    unit weights, p = 0.5). It is more sensitive to wrong correlations than the energy score.
    """
    total = np.zeros(len(draws))
    targets = truth.shape[1]
    for j in range(targets):
        for k in range(j):
            seen = np.abs(truth[:, j] - truth[:, k]) ** order
            expected = (np.abs(draws[..., j] - draws[..., k]) ** order).mean(axis=1)
            total += (seen - expected) ** 2
    return total


def negative_log_density(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log-density (n,) of one target's posterior at `truth`, from its `draws` (n, S).

    This is a kernel estimate, not the flow's own density. The Gaussian kernels have Silverman's
    width (1986, equation 3.31). A Student t with three degrees of freedom and the draws' mean and
    width has 1 / (S + 1) of the weight, the probability expected beyond S draws. The result is in
    nats, for densities per unit of the target.
    """
    return -np.log(_densities(draws, truth[:, None])[:, 0])


def cde_loss(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Conditional density estimation loss (n,): the integral of p^2 minus 2 p at the truth.

    Up to a constant, its mean is the squared error of the density (Izbicki & Lee 2016, equation 7).
    Densities are kernel estimates as in `negative_log_density`, from one half of the draws; the
    integral is the mean of this density over the other half.
    """
    half = draws.shape[1] // 2
    at = np.concatenate([truth[:, None], draws[:, half:]], axis=1)
    density = _densities(draws[:, :half], at)
    return density[:, 1:].mean(axis=1) - 2 * density[:, 0]


def _densities(draws: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kernel densities (n, m) of `draws` (n, S) at `at` (n, m)."""
    count = draws.shape[1]
    result = np.empty(at.shape)
    for rows in row_chunks(len(draws), count * at.shape[1]):
        centres, points = draws[rows].astype(np.float64), at[rows].astype(np.float64)
        mean, spread = centres.mean(axis=1, keepdims=True), centres.std(axis=1, keepdims=True)
        quartiles = np.quantile(centres, [0.25, 0.75], axis=1)
        robust = np.minimum(spread[:, 0], (quartiles[1] - quartiles[0]) / 1.34)
        spread = np.maximum(spread, 1e-12)
        width = 0.9 * np.maximum(robust[:, None], 1e-3 * spread) * count**-0.2
        offset = (points[:, :, None] - centres[:, None]) / width[..., None]
        kernels = np.exp(-0.5 * offset**2).mean(axis=2) / (np.sqrt(2 * np.pi) * width)
        tail = _student((points - mean) / spread) / spread
        result[rows] = (count * kernels + tail) / (count + 1)
    return result


def _student(x: np.ndarray) -> np.ndarray:
    """Density of Student's t with three degrees of freedom."""
    scale = 2 / (np.pi * np.sqrt(_TAIL_FREEDOM))
    return scale / (1 + x**2 / _TAIL_FREEDOM) ** 2
