"""Importance weights of draws of the prior, and how each would deviate from its template.

What a galaxy deviates from its template (SED_DIVERSITY) is Gaussian, and given the data nearly so:
it is not drawn from the prior but from that Gaussian, so that a draw of the prior need not be lucky
in five more dimensions. The weight puts right what the Gaussian is not.
"""

from __future__ import annotations

import numpy as np

from mgsflow.evaluation.oracle.prior import Prior
from mgsflow.sky.simulated.likelihood import log_gaussian, log_likelihood
from mgsflow.sky.simulated.photometry import (
    CALIBRATION,
    MODEL_SCATTER,
    PER_MAGNITUDE,
    flux_errors,
    flux_of_asinh,
)
from mgsflow.sky.simulated.relations import Array
from mgsflow.sky.simulated.seds import SED_DIVERSITY

LEAST_FLUX = 0.1  # of the template's: below it a measured flux says little in magnitudes


def propose(magnitudes: Array, prior: Prior, random: np.random.Generator) -> tuple[Array, Array]:
    """Deviations (n, bands) in mag, and ln of their draws' weights (n,).

    `magnitudes` (n, bands) are the data, row by row those that a draw of `prior` is weighed by.
    The weight is prior times likelihood over the proposal's density.
    """
    mean, diagonal, common = _given_data(magnitudes, prior)
    noise = random.normal(0, 1, magnitudes.shape)
    along = random.normal(0, 1, (len(magnitudes), 1))
    deviations = mean + np.sqrt(diagonal) * noise + common * along
    nothing = np.zeros_like(deviations)
    log_prior = log_gaussian(deviations, nothing + SED_DIVERSITY**2, nothing)
    log_data = log_likelihood(
        magnitudes, prior.extinction, prior.fluxes(deviations), prior.half_light
    )
    return deviations, log_prior + log_data - log_gaussian(deviations - mean, diagonal, common)


def _given_data(magnitudes: Array, prior: Prior) -> tuple[Array, Array, Array]:
    """Mean, diagonal and common direction of the deviations' Gaussian: N(mean, diag + c c^T).

    With the noise's covariance diag(a) + m^2 1 1^T its inverse is diag(v) - k v v^T, v = 1 / a;
    the precision diag(1 / D^2 + v) - k v v^T inverts alike (Sherman & Morrison 1950).
    """
    template = prior.fluxes()
    measured = flux_of_asinh(magnitudes + prior.extinction)
    offset = -np.log(np.maximum(measured / template, LEAST_FLUX)) / PER_MAGNITUDE
    errors = flux_errors(template, prior.half_light) / (PER_MAGNITUDE * template)
    v = 1 / (errors**2 + CALIBRATION**2)
    k = MODEL_SCATTER**2 / (1 + MODEL_SCATTER**2 * v.sum(axis=1, keepdims=True))
    diagonal = 1 / (1 / SED_DIVERSITY**2 + v)
    w = diagonal * v
    common = w * np.sqrt(k / (1 - k * (v * w).sum(axis=1, keepdims=True)))
    drive = v * (offset - k * (v * offset).sum(axis=1, keepdims=True))
    mean = diagonal * drive + common * (common * drive).sum(axis=1, keepdims=True)
    return mean, diagonal, common
