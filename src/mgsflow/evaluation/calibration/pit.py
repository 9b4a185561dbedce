"""Ranks of the truths among their draws."""

from __future__ import annotations

import numpy as np


def pit(draws: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Probability integral transform, in (0, 1), of each truth (n,) among its `draws` (n, S).

    The value is (rank + U) / (S + 1) with U uniform. For a calibrated posterior it is exactly
    uniform for any S, since the rank is uniform on 0..S (Talts et al. 2018). Draws equal to the
    truth are placed on either side at random.
    """
    truth = truth[:, None]
    below = np.count_nonzero(draws < truth, axis=1)
    ties = np.count_nonzero(draws == truth, axis=1)
    uniform = random.uniform(np.finfo(float).tiny, 1, len(draws))
    return (below + uniform * (ties + 1)) / (draws.shape[1] + 1)


def central_coverage(values: np.ndarray, level: float) -> np.ndarray:
    """Whether each truth lies within its central interval of `level`; `values` are its PIT."""
    return np.abs(values - 0.5) < level / 2
