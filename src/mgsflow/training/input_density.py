"""Fitting the density of the inputs: by expectation maximisation, its size by BIC."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.mixture import GaussianMixture

from mgsflow.models.input_density import InputDensity

COMPONENTS = (1, 2, 4, 8, 16)
# Least variance of a standardised input in any direction. Colours are differences of magnitudes,
# so that without it the density would be infinite on a plane. A hundredth of the training set's
# spread is above the rounding of catalogues to a thousandth of a magnitude.
FLOOR = 1e-4
MOST_ROWS = 30_000  # more make the fit longer and hardly better
OUTSIDE = 0.01  # share of galaxies like the validation set's that a threshold leaves below it


def fit_input_density(
    train: np.ndarray, validation: np.ndarray, latents: int, seed: int, outside: float = OUTSIDE
) -> InputDensity:
    """The density of the standardised inputs `train`, (n, d), with its thresholds.

    The first `latents` inputs are a stamp's. The number of components is the last that lowers the
    BIC (Schwarz 1978) and has no more parameters than there are rows. For `validation`,
    (m, d), and `outside` see `with_thresholds`.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:MOST_ROWS]
    fitted = _fit_mixture(train[rows].astype(np.float64), seed)
    density = InputDensity(fitted.weights_, fitted.means_, fitted.covariances_, latents)
    return with_thresholds(density, validation, outside)


def with_thresholds(
    density: InputDensity, validation: np.ndarray, outside: float = OUTSIDE
) -> InputDensity:
    """The density with thresholds that leave `outside` of galaxies like `validation` below them.

    Of each factor the log-density that floor(outside (m + 1)) of the m rows of `validation` do not
    exceed: a new one falls below with a probability of `outside` at most (conformal prediction;
    Bates et al. 2023). With fewer than 1 / outside - 1 it is the least of all, and that probability
    1 / (m + 1).
    """
    rank = max(1, int(outside * (len(validation) + 1)))
    ordered = np.sort(density.log_factors(validation), axis=0)
    return replace(density, thresholds=tuple(ordered[rank - 1].tolist()))


def _fit_mixture(rows: np.ndarray, seed: int) -> GaussianMixture:
    count, size = rows.shape
    best, least = None, np.inf
    for components in COMPONENTS:
        parameters = components * (size + 1) * (size + 2) // 2 - 1
        if best is not None and parameters > count:
            break
        fitted = GaussianMixture(
            components, reg_covar=FLOOR, init_params="k-means++", random_state=seed % 2**32
        ).fit(rows)
        bic = fitted.bic(rows)
        if best is not None and bic >= least:
            break
        best, least = fitted, bic
    assert best is not None
    return best
