"""Ranks of the truths among their draws."""

from __future__ import annotations

import numpy as np


def pit(draws: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Probability integral transform of each truth (n,) among its `draws` (n, S): in (0, 1).

    (rank + U) / (S + 1) with U uniform: under a calibrated posterior exactly uniform whatever S
    is, since the rank is uniform on 0..S (Talts et al. 2018). Draws equal to the truth are put on
    either side at random.
    """
    truth = truth[:, None]
    below = np.count_nonzero(draws < truth, axis=1)
    ties = np.count_nonzero(draws == truth, axis=1)
    uniform = random.uniform(np.finfo(float).tiny, 1, len(draws))
    return (below + uniform * (ties + 1)) / (draws.shape[1] + 1)


def central_coverage(values: np.ndarray, level: float) -> np.ndarray:
    """Whether each truth lies within its central interval of `level`: booleans like `values`."""
    return np.abs(values - 0.5) < level / 2
