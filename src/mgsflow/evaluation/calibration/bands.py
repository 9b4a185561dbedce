"""How far ranks of a calibrated posterior stray: simultaneous bands, and their test.

The distribution function of n uniform ranks is binomial at each point. Saeilynoja, Buerkner &
Vehtari (2022, Statistics and Computing 32, 32) choose the points' common level such that the whole
curve stays within its bounds with the probability that is asked for. So it is done here, by
simulation, for the curve and for the cells of a histogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.stats import binom

Kind = Literal["curve", "histogram"]
POINTS = 50  # at which a curve is held to its bounds
CELLS = 12  # of a histogram
_SIMULATIONS = 2000
_SEED = 20220311  # of the simulated ranks: bands are the same in every run


@dataclass(frozen=True)
class Band:
    """Bounds of shares of galaxies: below `edges` (a curve), or between two of them (cells)."""

    edges: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve_edges() -> np.ndarray:
    """The inner points, (POINTS - 1,), at which a curve is judged."""
    return np.arange(1, POINTS) / POINTS


def shares(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Shares of `values` in (0, 1) below the points of a curve, or in the cells of a histogram."""
    return _counts(values, kind) / max(len(values), 1)


def band(n: int, kind: Kind, level: float = 0.95) -> Band:
    """The bounds within which all shares of `n` uniform ranks stay with probability `level`."""
    probability = _probabilities(kind)
    # the largest level that is not passed too often; a count exactly at it lies within
    tail = np.quantile(_least_p(n, kind), 1 - level, method="lower") / 2 * (1 - 1e-9)
    low, high = binom.ppf(tail, n, probability) / n, binom.isf(tail, n, probability) / n
    edges = curve_edges() if kind == "curve" else np.linspace(0, 1, CELLS + 1)
    return Band(edges, low, high)


def uniformity(values: np.ndarray) -> float:
    """P-value of `values` (n,) being uniform, by the curve that strays farthest; NaN for none.

    Against simulated ranks. Beyond what 2000 of them resolve, by Bonferroni over the points.
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
    """Sorted: of each simulated set of ranks, the least p-value over its points or cells."""
    random = np.random.default_rng(_SEED)
    cells = POINTS if kind == "curve" else CELLS
    counts = random.multinomial(n, np.full(cells, 1 / cells), _SIMULATIONS)
    if kind == "curve":
        counts = counts.cumsum(axis=1)[:, :-1]
    return np.sort(_two_sided(counts, n, kind).min(axis=1))
