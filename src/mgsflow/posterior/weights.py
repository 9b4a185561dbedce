"""Weights of draws: normalised, counted as effective draws, and resampled by."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

Array = np.ndarray
FEW = 100.0  # effective draws: galaxies with fewer are warned of
_BELOW_ONE = np.nextafter(1.0, 0.0)


def normalised(log_ratio: Array) -> tuple[Array, Array]:
    """From ln r (n, draws): weights with a sum of 1, (n, draws), and ln of the mean of r, (n,).

    Where r is 0 for all draws of a galaxy the weights are NaN and ln of the mean is -inf.
    """
    total = logsumexp(log_ratio, axis=1)
    known = np.where(np.isfinite(total), total, np.nan)
    return np.exp(log_ratio - known[:, None]), total - np.log(log_ratio.shape[1])


def effective_sizes(weights: Array) -> Array:
    """Kish's effective number of draws, (n,), of `weights` (n, draws) with a sum of 1.

    0 where the weights are NaN.
    """
    return np.nan_to_num(1.0 / np.einsum("ns,ns->n", weights, weights), nan=0.0)


def resample(draws: Array, weights: Array, count: int, uniform: Array) -> Array:
    """`count` of each galaxy's `draws` (n, pool, ...) by their weights, systematically.

    `uniform` (n,) in [0, 1) is each galaxy's random offset (Kitagawa 1996, J. Comput. Graph. Stat.
    5, 1). Galaxies whose weights are NaN have draws of NaN; no galaxy's draws depend on another's
    weights.
    """
    out = np.full((len(draws), count, *draws.shape[2:]), np.nan, draws.dtype)
    for row in np.flatnonzero(np.isfinite(weights).all(axis=1)):
        cumulative = np.cumsum(weights[row])
        # steps stay below 1, so that none passes the last draw with a weight, and go to the right
        # of an equal value, so that none falls on a draw without a weight
        steps = np.minimum((uniform[row] + np.arange(count)) / count, _BELOW_ONE)
        out[row] = draws[row, np.searchsorted(cumulative / cumulative[-1], steps, side="right")]
    return out
