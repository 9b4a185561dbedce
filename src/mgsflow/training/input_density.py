"""Fitting the density of the inputs: by expectation maximisation, its size by BIC."""

from __future__ import annotations

import numpy as np
from sklearn.mixture import GaussianMixture

from mgsflow.models.input_density import InputDensity

COMPONENTS = (1, 2, 4, 8, 16)
# Least variance of a standardised input in any direction. Colours are differences of magnitudes,
# so that without it the density would be infinite on a plane. A hundredth of the training set's
# spread is above the rounding of catalogues to a thousandth of a magnitude.
FLOOR = 1e-4
MOST_ROWS = 30_000  # more make the fit longer and hardly better
OUTSIDE = 0.01  # share of galaxies like the validation set's that the threshold leaves below it


def fit_input_density(
    train: np.ndarray, validation: np.ndarray, seed: int, outside: float = OUTSIDE
) -> InputDensity:
    """The density of the standardised inputs `train`, (n, d), with its threshold.

    The number of components is the one of least BIC (Schwarz 1978). The threshold leaves the share
    `outside` of galaxies like those of `validation`, (m, d), below it: it is the log-density that
    floor(outside (m + 1)) of them do not exceed, by which a new one falls below with a probability
    of `outside` at most (conformal prediction; Bates et al. 2023). With fewer than 1 / outside - 1
    it is the least of all, and that probability 1 / (m + 1).
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:MOST_ROWS]
    chosen = train[rows].astype(np.float64)
    best, least = None, np.inf
    for components in COMPONENTS:
        if components > 1 and len(chosen) < 2 * components * chosen.shape[1]:
            break
        fitted = GaussianMixture(
            components, reg_covar=FLOOR, init_params="k-means++", random_state=seed % 2**32
        ).fit(chosen)
        bic = fitted.bic(chosen)
        if bic >= least:
            break
        best, least = fitted, bic
    assert best is not None
    density = InputDensity(best.weights_, best.means_, best.covariances_, -np.inf)
    return InputDensity(
        density.weights,
        density.means,
        density.covariances,
        _threshold(density.log_prob(validation), outside),
    )


def _threshold(log_prob: np.ndarray, outside: float) -> float:
    rank = max(1, int(outside * (len(log_prob) + 1)))
    return float(np.sort(log_prob)[rank - 1])
