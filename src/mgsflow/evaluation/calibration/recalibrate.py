"""Recalibration of draws on the validation set, by a temperature or by conformal levels.

Each target is recalibrated separately. The draws of each galaxy keep their order, so the rank
correlations between targets are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from mgsflow.core.errors import UserError
from mgsflow.evaluation.calibration.pit import pit

Recalibration = Callable[[np.ndarray], np.ndarray]
LEAST = 20  # minimum number of validation galaxies
_STEPS = 20  # iterations of the search for a temperature
_FACTORS = (0.1, 10.0)  # bounds of a temperature


def learn(
    method: str, draws: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> Recalibration:
    """A function that recalibrates draws (n, S) of a target.

    It is learnt from `draws` and `truth` (n,) of other galaxies. `method` is "temperature" or
    "conformal"; any other raises UserError. With fewer than 20 galaxies to learn from, it returns
    draws unchanged.
    """
    methods = {"temperature": _learn_temperature, "conformal": _learn_levels}
    if method not in methods:
        raise UserError(f"calibration.recalibrate: {method} is not one of {', '.join(methods)}")
    if len(truth) < LEAST:
        return lambda raw: raw
    return methods[method](draws, truth, random)


def _learn_temperature(
    draws: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> Recalibration:
    """Scale the draws about their mean by the factor that gives the probits a variance of 1."""
    factor = 1.0
    for _ in range(_STEPS):
        spread = ndtri(pit(scale(draws, factor), truth, random)).std()
        factor = float(np.clip(factor * spread, *_FACTORS))
    return lambda raw: scale(raw, factor)


def scale(draws: np.ndarray, factor: float) -> np.ndarray:
    """`draws` (n, S) with their distances from their mean multiplied by `factor`."""
    mean = draws.mean(axis=1, keepdims=True, dtype=np.float64).astype(draws.dtype)
    return mean + np.asarray(factor, draws.dtype) * (draws - mean)


def _learn_levels(
    draws: np.ndarray, truth: np.ndarray, random: np.random.Generator
) -> Recalibration:
    """Map the draws' quantile levels to the observed ranks of truths (Kuleshov et al. 2018, ICML).

    If G is the distribution of the PIT on the validation set, G(F) is the distribution function of
    the recalibrated posterior: a draw at level u moves to the level at which G equals u. It cannot
    move beyond the outermost draws of its galaxy, because no level lies beyond them.
    """
    ranks = np.sort(pit(draws, truth, random))
    known = np.concatenate([[0.0], ranks, [1.0]])
    levels = np.linspace(0, 1, len(known))

    def recalibrate(raw: np.ndarray) -> np.ndarray:
        count = raw.shape[1]
        positions = (np.arange(count) + 0.5) / count
        new_levels = np.interp(positions, levels, known)
        order = np.argsort(raw, axis=1)
        ordered = np.take_along_axis(raw, order, axis=1)
        # linear interpolation between the sorted draws, whose levels are `positions`
        place = np.clip(new_levels * count - 0.5, 0, count - 1)
        low = np.minimum(place.astype(int), max(count - 2, 0))
        share = (place - low).astype(raw.dtype)
        moved = ordered[:, low] * (1 - share) + ordered[:, np.minimum(low + 1, count - 1)] * share
        result = np.empty_like(raw)
        np.put_along_axis(result, order, moved, axis=1)
        return result

    return recalibrate
