"""Scores that no posterior can better than the true one can, galaxy by galaxy: lower is better.

Strictly proper, so that they punish what calibration alone lets pass: the prior returned for
everybody is calibrated, and scores worse. Draws come shuffled: see `shuffled`.
"""

from __future__ import annotations

import numpy as np

from mgsflow.evaluation.metrics import row_chunks

_SHIFTS = 8  # partners of each draw in means over pairs of draws
_TAIL_FREEDOM = 3  # of the Student t behind the kernels


def shuffled(draws: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
    """At most `most` of each galaxy's draws (n, S, ...), in random order.

    The members of an ensemble are mixed by it, and any part of the draws stands for all of them.
    """
    order = np.argsort(random.random(draws.shape[:2]), axis=1)[:, :most]
    return np.take_along_axis(draws, order.reshape(*order.shape, *[1] * (draws.ndim - 2)), axis=1)


def crps_of_prior(truth: np.ndarray) -> np.ndarray:
    """The score (n,) of the distribution of the others' truths, given as everybody's posterior."""
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

    E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, equation 22), the second mean over pairs of
    different draws.
    """
    result = np.empty(len(draws))
    for rows in row_chunks(len(draws), draws[0].size if len(draws) else 1):
        given = draws[rows].astype(np.float64)
        near = np.linalg.norm(given - truth[rows, None], axis=2).mean(axis=1)
        result[rows] = near - _pair_mean(given) / 2
    return result


def _pair_mean(draws: np.ndarray) -> np.ndarray:
    shifts = range(1, min(_SHIFTS, draws.shape[1] - 1) + 1)
    distances = [np.linalg.norm(draws - np.roll(draws, s, axis=1), axis=2) for s in shifts]
    return np.mean([distance.mean(axis=1) for distance in distances], axis=0)


def variogram(draws: np.ndarray, truth: np.ndarray, order: float = 0.5) -> np.ndarray:
    """Variogram score (n,) of joint `draws` (n, S, T): how the targets differ from one another.

    The sum over pairs of (|y_j - y_k|^p - E|X_j - X_k|^p)^2 (Scheuerer & Hamill 2015, equation 4,
    unit weights, p = 0.5); more sensitive to wrong correlations than the energy score is.
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
    """Minus the log-density (n,) of one target's posterior at `truth`, from its `draws` (n, S).

    A kernel estimate, not the flow's own density: Gaussian kernels of Silverman's width (1986,
    equation 3.31), with 1 / (S + 1) of the weight, what lies beyond S draws, on a Student t of
    three degrees of freedom of the draws' mean and width. In nats, for the target's unit.
    """
    return -np.log(_densities(draws, truth[:, None])[:, 0])


def cde_loss(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Conditional density estimation loss (n,): the integral of p^2 less 2 p at the truth.

    Its mean is, but for a constant, the squared error of the density (Izbicki & Lee 2016, equation
    7). Kernel densities as in `negative_log_density`, the integral as the mean over the draws of
    one half of the density of the other half.
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
        given, where = draws[rows].astype(np.float64), at[rows].astype(np.float64)
        mean, spread = given.mean(axis=1, keepdims=True), given.std(axis=1, keepdims=True)
        quartiles = np.quantile(given, [0.25, 0.75], axis=1)
        robust = np.minimum(spread[:, 0], (quartiles[1] - quartiles[0]) / 1.34)
        spread = np.maximum(spread, 1e-12)
        width = 0.9 * np.maximum(robust[:, None], 1e-3 * spread) * count**-0.2
        offset = (where[:, :, None] - given[:, None]) / width[..., None]
        kernels = np.exp(-0.5 * offset**2).mean(axis=2) / (np.sqrt(2 * np.pi) * width)
        tail = _student((where - mean) / spread) / spread
        result[rows] = (count * kernels + tail) / (count + 1)
    return result


def _student(x: np.ndarray) -> np.ndarray:
    """Density of Student's t with three degrees of freedom."""
    scale = 2 / (np.pi * np.sqrt(_TAIL_FREEDOM))
    return scale / (1 + x**2 / _TAIL_FREEDOM) ** 2
