"""Figures of studies/photometric_redshift.py: for each method, and differences by bootstrap.

All use the galaxies of all outer test folds together. A figure is a function of the arrays of its
method, which have one row per galaxy, so that one resample serves all methods (paired bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import kstest

from mgsflow.core.seeds import derive_seed, generator
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.evaluation.calibration.bands import uniformity
from mgsflow.evaluation.calibration.pit import central_coverage, pit
from mgsflow.evaluation.metrics import crps_each, photo_z, r2

Arrays = dict[
    str, np.ndarray
]  # of one method: truth, point; for a posterior also log_density, pit, crps

POINT: dict[str, Callable[[Arrays], float]] = {
    "r2": lambda a: r2(a["truth"], a["point"]),
    "sigma_mad": lambda a: photo_z(a["truth"], a["point"]).sigma_mad,
    "bias": lambda a: photo_z(a["truth"], a["point"]).bias,
    "outliers": lambda a: photo_z(a["truth"], a["point"]).outliers,
}
POSTERIOR: dict[str, Callable[[Arrays], float]] = {
    "log_density": lambda a: float(a["log_density"].mean()),
    "crps": lambda a: float(a["crps"].mean()),
    "coverage_68": lambda a: float(central_coverage(a["pit"], 0.68).mean()),
    "coverage_95": lambda a: float(central_coverage(a["pit"], 0.95).mean()),
    "sigma_mad_median": lambda a: photo_z(a["truth"], a["median"]).sigma_mad,
}


def arrays_of(predicted: Any, truth: np.ndarray, seed: int) -> Arrays:
    """The arrays that the figures need, one row per test galaxy."""
    found = {"truth": truth, "point": predicted.point}
    if predicted.draws is not None:
        found["log_density"] = predicted.log_density(truth)
        found["pit"] = pit(predicted.draws, truth, generator(seed, "pit"))
        found["crps"] = crps_each(predicted.draws, truth)
        found["median"] = np.median(predicted.draws, axis=1)
    return found


def figures(arrays: Arrays) -> dict[str, float]:
    """All figures of one method, and for a posterior the tests that its PIT is uniform."""
    found = {name: figure(arrays) for name, figure in _figures(arrays).items()}
    if "pit" in arrays:
        found["pit_ks"] = float(kstest(arrays["pit"], "uniform").statistic)
        found["pit_ks_p"] = float(kstest(arrays["pit"], "uniform").pvalue)
        found["pit_band_p"] = uniformity(arrays["pit"])
    return found


def differences(
    ours: Arrays, other: Arrays, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """`ours` minus `other` in each figure that both have, with the 95% interval of a bootstrap.

    Galaxies are drawn with replacement, the same ones for both methods. For a coverage the figure
    is its distance from the level.
    """
    rows, own_seed = np.arange(len(ours["truth"])), derive_seed(seed, "bootstrap")
    found = {}
    for name in (name for name in _figures(ours) if name in _figures(other)):
        estimate = bootstrap(_difference(name, ours, other), (rows,), resamples, own_seed)
        found[name] = {"difference": estimate.value, "low": estimate.low, "high": estimate.high}
    return found


def _difference(name: str, ours: Arrays, other: Arrays) -> Callable[[np.ndarray], float]:
    """The difference of one figure, as a function of the rows that count."""
    figure = _figures(ours)[name]

    def of_rows(rows: np.ndarray) -> float:
        first, second = (
            _missed(name, figure({key: values[rows] for key, values in arrays.items()}))
            for arrays in (ours, other)
        )
        return first - second

    return of_rows


def _figures(arrays: Arrays) -> dict[str, Callable[[Arrays], float]]:
    return POINT | POSTERIOR if "pit" in arrays else POINT


def _missed(name: str, value: float) -> float:
    levels = {"coverage_68": 0.68, "coverage_95": 0.95, "bias": 0.0}
    return abs(value - levels[name]) if name in levels else value
