"""Tests of one target's posterior: bias, width, shape, and dependence of these on the inputs.

All tests use the probits z of the PIT. If the posterior is calibrated, these are independent
N(0, 1) and independent of the inputs, so the nulls are exact for any number of galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from mgsflow.evaluation.bootstrap import BootstrapOfMeans, Estimate, deviation
from mgsflow.evaluation.calibration.bands import uniformity

GALAXIES_PER_COEFFICIENT = 8  # minimum for a meaningful regression on the inputs


@dataclass(frozen=True)
class Marginal:
    """Results on one target for n galaxies; p-values are NaN where a test is not possible.

    Attributes
    ----------
    bias : offset of the posteriors, in units of their own width; positive: too high
    width : the posteriors' width over the width that the truths require; below 1: too narrow
    p_bias, p_width : t-test of the probits' mean and chi-square test of their variance
    p_shape : test of the ranks' uniformity
    p_local : test whether the inputs predict the probits, in mean or in spread
    local_bias_r2, local_width_r2 : adjusted R2 of these two predictions
    """

    n: int
    bias: Estimate
    width: Estimate
    p_bias: float
    p_width: float
    p_shape: float
    p_local: float
    local_bias_r2: float
    local_width_r2: float


def examine(pit: np.ndarray, inputs: np.ndarray, resamples: BootstrapOfMeans) -> Marginal:
    """Test the `pit` (n,) of one target; `inputs` (n, p) are the inputs of the posterior."""
    z = ndtri(pit)
    p_bias, p_width = _moments(z)
    p_local, bias_r2, width_r2 = _local(z, inputs)
    return Marginal(
        n=len(z),
        bias=resamples.mean(-z),
        width=resamples.function(lambda m: 1 / np.maximum(deviation(m), 1e-9), z, z**2),
        p_bias=p_bias,
        p_width=p_width,
        p_shape=uniformity(pit),
        p_local=p_local,
        local_bias_r2=bias_r2,
        local_width_r2=width_r2,
    )


def _moments(z: np.ndarray) -> tuple[float, float]:
    n = len(z)
    if n < 2:
        return float("nan"), float("nan")
    spread = z.std(ddof=1)
    p_mean = 2 * stats.t.sf(abs(z.mean()) / (spread / np.sqrt(n)), n - 1)
    square = (n - 1) * spread**2
    p_spread = 2 * min(stats.chi2.cdf(square, n - 1), stats.chi2.sf(square, n - 1))
    return float(p_mean), float(min(p_spread, 1))


def _local(z: np.ndarray, inputs: np.ndarray) -> tuple[float, float, float]:
    """P-value and adjusted R2s of the regressions of z, and of its absolute size, on the inputs.

    Zhao et al. (2021, UAI) regress the PIT on the posterior's inputs. Here the probits of the PIT
    and of |2 PIT - 1| are regressed: both are N(0, 1) under the null, so the F-test is exact.
    """
    size = ndtri(np.clip(np.abs(2 * ndtr(z) - 1), 1e-12, 1 - 1e-12))
    (p_bias, r2_bias), (p_width, r2_width) = (_regress(y, inputs) for y in (z, size))
    return min(1.0, 2 * min(p_bias, p_width)), r2_bias, r2_width


def _regress(y: np.ndarray, inputs: np.ndarray) -> tuple[float, float]:
    n, p = inputs.shape
    total = float(np.sum((y - y.mean()) ** 2)) if n else 0.0
    if p == 0 or n < GALAXIES_PER_COEFFICIENT * (p + 1) or total == 0:
        return float("nan"), float("nan")
    design = np.column_stack([np.ones(n), inputs])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    left, free = float(residual @ residual), n - p - 1
    statistic = (total - left) / p / (left / free)
    adjusted = 1 - (left / free) / (total / (n - 1))
    return float(stats.f.sf(statistic, p, free)), adjusted
