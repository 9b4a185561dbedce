"""Weighted samples: quantiles, ranks, and densities of sums of Gaussians."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from mgsflow.sky.simulated.relations import Array

ROOT_TWO_PI = np.log(np.sqrt(2 * np.pi))


def quantiles(values: Array, weights: Array, levels: Array) -> Array:
    """Quantiles of values (n,) with weights (n,) that sum to 1, centred within each weight."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(levels, cumulative, values[order])


def rank(values: Array, weights: Array, truth: float, uniform: float) -> float:
    """Probability integral transform of `truth`; ties count with the fraction `uniform`."""
    below = weights[values < truth].sum()
    return float(below + uniform * weights[values == truth].sum())


def effective_size(weights: Array) -> float:
    """Kish's effective sample size, (sum w)^2 / sum w^2."""
    squares = float(np.sum(weights**2))
    return float(np.sum(weights) ** 2 / squares) if squares > 0 else 0.0


def spread(values: Array, weights: Array) -> float:
    """Spread robust to heavy tails: the smaller of standard deviation and scaled IQR."""
    mean = np.sum(weights * values)
    deviation = np.sqrt(np.sum(weights * (values - mean) ** 2))
    low, high = quantiles(values, weights, np.array([0.25, 0.75]))
    return float(min(deviation, (high - low) / 1.349) or deviation)


def bandwidth(width: float, effective: float) -> float:
    """Silverman's rule of thumb (1986, eq. 3.31), for a spread and an effective sample size."""
    return 0.9 * width * effective**-0.2


def log_normal(offset: Array, width: Array | float) -> Array:
    """ln of the Gaussian density at `offset` from its centre."""
    return -0.5 * (offset / width) ** 2 - np.log(width) - ROOT_TWO_PI


def log_mixture(log_kernels: Array, weights: Array) -> float:
    """ln of the weighted mean of exp(log_kernels), both (n,)."""
    return float(logsumexp(log_kernels, b=weights) - np.log(weights.sum()))


def resample(weights: Array, count: int, random: np.random.Generator) -> Array:
    """Rows (count,) by systematic resampling, which has the least noise (Kitagawa 1996)."""
    steps = (random.uniform() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), steps), len(weights) - 1)
