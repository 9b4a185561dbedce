"""Bootstrap over galaxies of statistics that are functions of means: one matrix product for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and the percentile interval of its bootstrap."""

    value: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


class Bootstrap:
    """Resamples of n galaxies, drawn once: the same ones for every figure of the set."""

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
        """A function of the means of several (n,) arrays; it takes them along the last axis."""
        stacked = np.stack(values, axis=-1).astype(np.float64)
        if not len(stacked):
            return Estimate(*3 * [float("nan")])
        centre = float(of_means(stacked.mean(axis=0)))
        resampled = of_means(self.weights @ stacked)
        low, high = np.quantile(resampled, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return Estimate(centre, float(low), float(high))


def deviation(means: np.ndarray) -> np.ndarray:
    """Standard deviation from the means of a quantity and of its square."""
    return np.sqrt(np.maximum(means[..., 1] - means[..., 0] ** 2, 0))
