"""Simultaneous confidence bands for the ranks of a calibrated posterior, and a uniformity test.

At each point the empirical distribution function of n uniform ranks is binomial. As in Saeilynoja,
Buerkner & Vehtari (2022, Statistics and Computing 32, 32), one level, common to all points, is
chosen such that the whole curve stays within its bounds with the required probability. The level
is found by simulation, for the curve and for the cells of a histogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.stats import binom

Kind = Literal["curve", "histogram"]
POINTS = 50  # intervals of (0, 1); a curve is tested at the points between them
CELLS = 12  # bins of a histogram
_SIMULATIONS = 2000
_SEED = 20220311  # seed of the simulated ranks, fixed so that bands are the same in every run


@dataclass(frozen=True)
class Band:
    """Bounds on shares of galaxies: below each of `edges` (curve), or between two (histogram)."""

    edges: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve_edges() -> np.ndarray:
    """The interior points, (POINTS - 1,), at which a curve is tested."""
    return np.arange(1, POINTS) / POINTS


def shares(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Shares of `values` in (0, 1) below the points of a curve, or in the cells of a histogram."""
    return _counts(values, kind) / max(len(values), 1)


def band(n: int, kind: Kind, level: float = 0.95) -> Band:
    """The bounds within which all shares of `n` uniform ranks stay with probability `level`."""
    probability = _probabilities(kind)
    # the largest level that is not exceeded too often; a count exactly at the level is within it
    tail = np.quantile(_least_p(n, kind), 1 - level, method="lower") / 2 * (1 - 1e-9)
    low, high = binom.ppf(tail, n, probability) / n, binom.isf(tail, n, probability) / n
    edges = curve_edges() if kind == "curve" else np.linspace(0, 1, CELLS + 1)
    return Band(edges, low, high)


def uniformity(values: np.ndarray) -> float:
    """P-value for `values` (n,) being uniform, from the curve's largest deviation; NaN if n = 0.

    The null distribution is simulated. P-values below the resolution of the 2000 simulations use a
    Bonferroni correction over the points.
    """
    n = len(values)
    if not n:
        return float("nan")
    least = float(_two_sided(_counts(values, "curve"), n, "curve").min())
    null = _least_p(n, "curve")
    below = int(np.searchsorted(null, least, side="right"))
    if below:
        return (below + 1) / (len(null) + 1)
    return min(1 / (len(null) + 1), (POINTS - 1) * least)


def _probabilities(kind: Kind) -> np.ndarray:
    return curve_edges() if kind == "curve" else np.full(CELLS, 1 / CELLS)


def _counts(values: np.ndarray, kind: Kind) -> np.ndarray:
    if kind == "curve":
        return np.searchsorted(np.sort(values), curve_edges(), side="right")
    return np.histogram(values, CELLS, (0, 1))[0]


def _two_sided(counts: np.ndarray, n: int, kind: Kind) -> np.ndarray:
    probability = _probabilities(kind)
    tails = binom.cdf(counts, n, probability), binom.sf(counts - 1, n, probability)
    return np.minimum(1, 2 * np.minimum(*tails))


@lru_cache(maxsize=256)
def _least_p(n: int, kind: Kind) -> np.ndarray:
    """Minimum p-value over the points or cells of each simulated set of ranks, sorted."""
    random = np.random.default_rng(_SEED)
    cells = POINTS if kind == "curve" else CELLS
    counts = random.multinomial(n, np.full(cells, 1 / cells), _SIMULATIONS)
    if kind == "curve":
        counts = counts.cumsum(axis=1)[:, :-1]
    return np.sort(_two_sided(counts, n, kind).min(axis=1))
