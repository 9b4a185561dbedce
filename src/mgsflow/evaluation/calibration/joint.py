"""Several targets at once: expected coverage, depth, and the correlations that are claimed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from mgsflow.evaluation.bootstrap import BootstrapOfMeans, Estimate
from mgsflow.evaluation.calibration.bands import uniformity
from mgsflow.evaluation.calibration.coordinates import Coordinates
from mgsflow.evaluation.calibration.pit import pit
from mgsflow.evaluation.metrics import row_chunks

_MARGIN = 0.01  # of the truths at either end, outside of which no reference point lies


@dataclass(frozen=True)
class Correlation:
    """The pair of targets whose correlation is farthest from what is claimed."""

    first: int
    second: int
    found: float
    claimed: float
    p_value: float  # times the number of pairs


@dataclass(frozen=True)
class Joint:
    """Findings on the joint posterior of n galaxies.

    Attributes
    ----------
    tarp : (n,) share of the draws nearer to a random point than the truth is: uniform if calibrated
    depth : (n,) share of the draws nearer to the posterior's middle than the truth is
    width : the draws' distance from their middle over the truths': below 1, too narrow jointly
    """

    tarp: np.ndarray
    depth: np.ndarray
    width: Estimate
    p_tarp: float
    p_depth: float
    correlation: Correlation


def examine(
    draws: np.ndarray,
    truth: np.ndarray,
    given: Coordinates,
    resamples: BootstrapOfMeans,
    random: np.random.Generator,
) -> Joint:
    """Judge the joint `draws` (n, S, T) at `truth` (n, T), without missing values."""
    nearer = tarp(draws, truth, random)
    square_truth = np.sum(given.white_truth**2, axis=1)
    square_draws = np.sum(given.white_draws**2, axis=2)
    depth = pit(square_draws, square_truth, random)
    return Joint(
        tarp=nearer,
        depth=depth,
        width=resamples.function(
            lambda m: np.sqrt(m[..., 0] / m[..., 1]), square_draws.mean(axis=1), square_truth
        ),
        p_tarp=uniformity(nearer),
        p_depth=uniformity(depth),
        correlation=worst_correlation(given),
    )


def tarp(draws: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Tests of accuracy with random points (Lemos et al. 2023, ICML): (n,), uniform if calibrated.

    A point for each galaxy, uniform in the box of the truths and independent of the galaxy; of the
    `draws` (n, S, T), the share nearer to it than the `truth` (n, T), in units of the truths'
    spread. The share below a level is the paper's expected coverage probability. As the points know
    nothing of the inputs, a posterior that knows nothing of them passes.
    """
    spread = np.where(truth.std(axis=0) > 0, truth.std(axis=0), 1.0)
    low, high = np.quantile(truth, [_MARGIN, 1 - _MARGIN], axis=0)
    points = random.uniform(low, high, truth.shape)
    result = np.empty(len(truth))
    for rows in row_chunks(len(truth), draws[0].size):
        point = points[rows, None]
        distances = np.linalg.norm((draws[rows] - point) / spread, axis=2)
        own = np.linalg.norm((truth[rows] - points[rows]) / spread, axis=1)
        result[rows] = pit(distances, own, random)
    return result


def worst_correlation(given: Coordinates) -> Correlation:
    """Of all pairs, the one whose correlation of normal scores over the galaxies is farthest off.

    If the posterior is right, the truths' normal scores correlate over the galaxies as those of any
    one draw a galaxy do; these, one set after the other, give the null's mean and scatter. Widths
    and centres that are wrong do not count here: each target's scores are standardised over the
    galaxies.
    """
    found = [
        _compare(given.truth[:, [j, k]], given.draws[:, :, [j, k]], j, k)
        for j, k in combinations(range(given.truth.shape[1]), 2)
    ]
    worst = min(found, key=lambda one: one.p_value)
    return Correlation(
        worst.first, worst.second, worst.found, worst.claimed, min(1, len(found) * worst.p_value)
    )


def _compare(truth: np.ndarray, draws: np.ndarray, first: int, second: int) -> Correlation:
    found = float(_correlation(truth[:, None])[0])
    null = np.arctanh(_correlation(draws))
    count = len(null)
    scatter = null.std(ddof=1) * np.sqrt(1 + 1 / count)
    distance = abs(np.arctanh(found) - null.mean()) / max(scatter, 1e-12)
    p_value = float(2 * stats.t.sf(distance, count - 1))
    return Correlation(first, second, found, float(np.tanh(null.mean())), p_value)


def _correlation(pairs: np.ndarray) -> np.ndarray:
    """Over the galaxies, of each of m sets: `pairs` (n, m, 2) gives (m,)."""
    centred = pairs - pairs.mean(axis=0)
    products = (centred[..., 0] * centred[..., 1]).sum(axis=0)
    squares = (centred**2).sum(axis=0).prod(axis=-1)
    return np.clip(products / np.sqrt(np.maximum(squares, 1e-300)), -0.999999, 0.999999)
