"""Tests of joint posteriors: expected coverage (TARP), coverage by depth, and correlations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from mgsflow.evaluation.bootstrap import BootstrapOfMeans, Estimate
from mgsflow.evaluation.calibration.bands import uniformity
from mgsflow.evaluation.calibration.coordinates import Coordinates
from mgsflow.evaluation.calibration.pit import pit
from mgsflow.evaluation.metrics import row_chunks

_MARGIN = 0.01  # share of the truths at either end that lies outside the box of reference points


@dataclass(frozen=True)
class Correlation:
    """A pair of targets: the correlation of the truths and the one the posteriors claim."""

    first: int
    second: int
    observed: float
    claimed: float
    p_value: float  # of the worst pair: multiplied by the number of pairs (Bonferroni)


@dataclass(frozen=True)
class Joint:
    """Results on the joint posterior of n galaxies.

    Attributes
    ----------
    tarp : (n,) share of the draws nearer to a random point than the truth: uniform if calibrated
    depth : (n,) share of the draws nearer to the posterior's centre than the truth, likewise
    width : root mean square distance from the posterior's centre, of the draws over that of the
        truths; below 1 the joint posterior is too narrow
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
    coordinates: Coordinates,
    resamples: BootstrapOfMeans,
    random: np.random.Generator,
) -> Joint:
    """Test the joint `draws` (n, S, T) at `truth` (n, T); no value may be missing."""
    nearer = tarp(draws, truth, random)
    square_truth = np.sum(coordinates.white_truth**2, axis=1)
    square_draws = np.sum(coordinates.white_draws**2, axis=2)
    depth = pit(square_draws, square_truth, random)
    return Joint(
        tarp=nearer,
        depth=depth,
        width=resamples.function(
            lambda m: np.sqrt(m[..., 0] / m[..., 1]), square_draws.mean(axis=1), square_truth
        ),
        p_tarp=uniformity(nearer),
        p_depth=uniformity(depth),
        correlation=worst_correlation(coordinates),
    )


def tarp(draws: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Tests of accuracy with random points (Lemos et al. 2023, ICML): (n,), uniform if calibrated.

    Each galaxy has a random point, uniform in the box of the truths and independent of the galaxy.
    The result is the share of its `draws` (n, S, T) that are nearer to this point than the `truth`
    (n, T), in units of the truths' spread. The fraction of galaxies below a level is the expected
    coverage probability of Lemos et al. As the points do not depend on the inputs, a posterior that
    ignores the inputs passes.
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


def worst_correlation(coordinates: Coordinates) -> Correlation:
    """The pair of targets whose correlation over the galaxies differs most significantly.

    The correlation is that of the normal scores. If the posterior is right, the truths' normal
    scores correlate over the galaxies as those of one draw per galaxy do. Each set of such draws
    gives one value of the null, and all sets give its mean and scatter. Wrong widths and centres
    have no effect: each target's scores are standardised over the galaxies.
    """
    correlations = [
        _compare(coordinates.truth[:, [j, k]], coordinates.draws[:, :, [j, k]], j, k)
        for j, k in combinations(range(coordinates.truth.shape[1]), 2)
    ]
    worst = min(correlations, key=lambda correlation: correlation.p_value)
    return replace(worst, p_value=min(1, len(correlations) * worst.p_value))


def _compare(truth: np.ndarray, draws: np.ndarray, first: int, second: int) -> Correlation:
    observed = float(_correlation(truth[:, None])[0])
    null = np.arctanh(_correlation(draws))
    count = len(null)
    scatter = null.std(ddof=1) * np.sqrt(1 + 1 / count)
    distance = abs(np.arctanh(observed) - null.mean()) / max(scatter, 1e-12)
    p_value = float(2 * stats.t.sf(distance, count - 1))
    return Correlation(first, second, observed, float(np.tanh(null.mean())), p_value)


def _correlation(pairs: np.ndarray) -> np.ndarray:
    """Correlation over the galaxies in each of m sets: `pairs` (n, m, 2) gives (m,)."""
    centred = pairs - pairs.mean(axis=0)
    products = (centred[..., 0] * centred[..., 1]).sum(axis=0)
    squares = (centred**2).sum(axis=0).prod(axis=-1)
    return np.clip(products / np.sqrt(np.maximum(squares, 1e-300)), -0.999999, 0.999999)
