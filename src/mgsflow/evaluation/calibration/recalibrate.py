"""Draws mended by what the validation set says of them: by a temperature, or by conformal levels.

Each target for itself, and each galaxy's draws keep their order, so that the ranks by which targets
hang together stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from mgsflow.core.errors import UserError
from mgsflow.evaluation.calibration.pit import pit

Mending = Callable[[np.ndarray], np.ndarray]
LEAST = 20  # galaxies of the validation set, to learn from
_STEPS = 20  # of the search for a temperature
_FACTORS = (0.1, 10.0)  # bounds of a temperature


def learn(
    method: str, draws: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> Mending:
    """What mends draws (n, S) of a target, learnt from `draws` and `truth` (n,) of other galaxies.

    `method` is "temperature" or "conformal". With fewer than 20 galaxies the draws stay as
    they are. Raises UserError for any other method.
    """
    methods = {"temperature": _learn_temperature, "conformal": _learn_levels}
    if method not in methods:
        raise UserError(f"calibration.recalibrate: {method} is none of {', '.join(methods)}")
    if len(truth) < LEAST:
        return lambda given: given
    return methods[method](draws, truth, random)


def _learn_temperature(
    draws: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> Mending:
    """The factor on the draws' distance from their mean that gives the probits a variance of 1."""
    factor = 1.0
    for _ in range(_STEPS):
        spread = ndtri(pit(scale(draws, factor), truth, random)).std()
        factor = float(np.clip(factor * spread, *_FACTORS))
    return lambda given: scale(given, factor)


def scale(draws: np.ndarray, factor: float) -> np.ndarray:
    """`draws` (n, S) at `factor` times their distance from their mean."""
    mean = draws.mean(axis=1, keepdims=True, dtype=np.float64).astype(draws.dtype)
    return mean + np.asarray(factor, draws.dtype) * (draws - mean)


def _learn_levels(draws: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> Mending:
    """Quantile levels by the ranks that truths really had (Kuleshov et al. 2018, ICML).

    If G is the distribution of the PIT on the validation set, G(F) is the recalibrated posterior's
    distribution function: a draw at level u moves to the level that G puts at u. It moves
    between the outermost draws of its galaxy at most: what lies beyond them no level can reach.
    """
    ranks = np.sort(pit(draws, truth, random))
    known = np.concatenate([[0.0], ranks, [1.0]])
    levels = np.linspace(0, 1, len(known))

    def mend(given: np.ndarray) -> np.ndarray:
        count = given.shape[1]
        positions = (np.arange(count) + 0.5) / count
        wanted = np.interp(positions, levels, known)
        order = np.argsort(given, axis=1)
        ordered = np.take_along_axis(given, order, axis=1)
        # linear between the sorted draws, whose levels are `positions`
        place = np.clip(wanted * count - 0.5, 0, count - 1)
        low = np.minimum(place.astype(int), max(count - 2, 0))
        share = (place - low).astype(given.dtype)
        moved = ordered[:, low] * (1 - share) + ordered[:, np.minimum(low + 1, count - 1)] * share
        result = np.empty_like(given)
        np.put_along_axis(result, order, moved, axis=1)
        return result

    return mend
