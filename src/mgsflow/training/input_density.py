"""Fit of the density of the inputs by expectation maximisation; BIC selects the components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.mixture import GaussianMixture

from mgsflow.models.input_density import InputDensity

COMPONENTS = (1, 2, 4, 8, 16)
# Minimum variance of a standardised input in any direction. Colours are differences of magnitudes,
# so without this floor the density would be infinite on a plane. A hundredth of the training set's
# spread is above the rounding of catalogues to a thousandth of a magnitude.
FLOOR = 1e-4
MOST_ROWS = 30_000  # maximum number of rows: more take longer and hardly improve the fit
OUTSIDE = 0.01  # fraction of galaxies like the validation set's that fall below a threshold


def fit_input_density(
    train: np.ndarray, validation: np.ndarray, latents: int, seed: int, outside: float = OUTSIDE
) -> InputDensity:
    """The density of the standardised inputs `train`, (n, d), with its thresholds.

    The first `latents` inputs are a stamp's. The number of components is increased as long as the
    BIC (Schwarz 1978) decreases and the parameters do not outnumber the rows. For `validation`,
    (m, d), and `outside` see `with_thresholds`.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:MOST_ROWS]
    fitted = _fit_mixture(train[rows].astype(np.float64), seed)
    density = InputDensity(fitted.weights_, fitted.means_, fitted.covariances_, latents)
    return with_thresholds(density, validation, outside)


def with_thresholds(
    density: InputDensity, validation: np.ndarray, outside: float = OUTSIDE
) -> InputDensity:
    """The density with thresholds below which a fraction `outside` of galaxies falls.

    The threshold of each factor is the log-density that floor(outside (m + 1)) of the m rows of
    `validation` do not exceed: a new galaxy like these falls below it with a probability of at
    most `outside` (conformal prediction; Bates et al. 2023). With fewer than 1 / outside - 1 rows
    it is the smallest log-density, and that probability is 1 / (m + 1).
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
