"""Bootstrap over galaxies: percentile intervals (Efron & Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # confidence level of every interval
ENDS = ("", "_low", "_high")  # suffixes of the columns of an estimate


@dataclass(frozen=True)
class Estimate:
    """A statistic and its bootstrap percentile interval; all are NaN without galaxies."""

    value: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """Value and ends of the interval, as columns `name`, `name_low` and `name_high`."""
        values = (self.value, self.low, self.high)
        return {f"{name}{end}": value for end, value in zip(ENDS, values, strict=True)}


def bootstrap(
    statistic: Callable[..., float],
    arrays: tuple[np.ndarray, ...],
    resamples: int,
    seed: int,
    blocks: np.ndarray | None = None,
) -> Estimate:
    """Estimate of `statistic(*arrays)`, any function of arrays (n, ...) whose rows are galaxies.

    Galaxies are drawn with replacement `resamples` times. If `blocks` (n,) gives the block of each
    galaxy, whole blocks are drawn instead. The same seed draws the same rows for every method with
    the same number of galaxies, so that methods can be compared. Resamples with a statistic that is
    not finite are ignored.
    """
    if not len(arrays[0]):
        return Estimate(*3 * [float("nan")])
    members = None if blocks is None else _members(blocks)
    units = len(arrays[0] if members is None else members)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        chosen = random.integers(0, units, units)
        if members is not None:
            chosen = np.concatenate([members[block] for block in chosen])
        values.append(statistic(*(array[chosen] for array in arrays)))
    return Estimate(statistic(*arrays), *_interval(np.asarray(values)))


def _members(blocks: np.ndarray) -> list[np.ndarray]:
    """The rows of each block."""
    numbers, number = np.unique(blocks, return_inverse=True)
    return [np.flatnonzero(number == block) for block in range(len(numbers))]


class BootstrapOfMeans:
    """Bootstrap of functions of means over n galaxies, with one matrix product per statistic.

    The resamples are drawn once and are the same for every statistic of the set.
    """

    def __init__(self, n: int, resamples: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        weights = random.multinomial(n, np.full(n, 1 / n), resamples) if n else np.empty((0, 0))
        self.weights = weights / max(n, 1)  # (resamples, n), rows of sum 1

    def mean(self, values: np.ndarray) -> Estimate:
        """Mean of `values` (n,)."""
        return self.function(lambda means: means[..., 0], values)

    def function(
        self, of_means: Callable[[np.ndarray], np.ndarray], *values: np.ndarray
    ) -> Estimate:
        """A function of the means of several (n,) arrays, which it takes along the last axis."""
        stacked = np.stack(values, axis=-1).astype(np.float64)
        if not len(stacked):
            return Estimate(*3 * [float("nan")])
        centre = float(of_means(stacked.mean(axis=0)))
        return Estimate(centre, *_interval(of_means(self.weights @ stacked)))


def deviation(means: np.ndarray) -> np.ndarray:
    """Standard deviation from the means of a quantity and of its square (last axis)."""
    return np.sqrt(np.maximum(means[..., 1] - means[..., 0] ** 2, 0))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The central interval of the finite `values` (resamples,) at LEVEL; NaN if there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
