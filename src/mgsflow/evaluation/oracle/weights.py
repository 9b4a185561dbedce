"""Importance weights of draws of the prior, and each draw's deviation from its template.

A galaxy's deviation from its template (SED_DIVERSITY) is Gaussian in the prior, and nearly Gaussian
given the data. It is drawn from the latter Gaussian rather than from the prior, so that a draw of
the prior need not match the data by chance in five more dimensions. The weight corrects for the
difference between this Gaussian and the exact distribution.
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

LEAST_FLUX = 0.1  # of the template's flux: fainter measured fluxes say little in magnitudes


def propose(magnitudes: Array, prior: Prior, random: np.random.Generator) -> tuple[Array, Array]:
    """Deviations (n, bands) in mag, and ln of the weights of the draws (n,).

    Row by row, `magnitudes` (n, bands) are the data for which a draw of `prior` is weighted. The
    weight is prior times likelihood divided by the proposal's density.
    """
    mean, diagonal, common = _conditional(magnitudes, prior)
    noise = random.normal(0, 1, magnitudes.shape)
    along = random.normal(0, 1, (len(magnitudes), 1))
    deviations = mean + np.sqrt(diagonal) * noise + common * along
    nothing = np.zeros_like(deviations)
    log_prior = log_gaussian(deviations, nothing + SED_DIVERSITY**2, nothing)
    log_data = log_likelihood(
        magnitudes, prior.extinction, prior.fluxes(deviations), prior.half_light
    )
    return deviations, log_prior + log_data - log_gaussian(deviations - mean, diagonal, common)


def _conditional(magnitudes: Array, prior: Prior) -> tuple[Array, Array, Array]:
    """Mean, diagonal and common direction of the deviations' Gaussian: N(mean, diag + c c^T).

    The inverse of the noise's covariance diag(a) + m^2 1 1^T is diag(v) - k v v^T, with v = 1 / a.
    The precision diag(1 / D^2 + v) - k v v^T is inverted likewise (Sherman & Morrison 1950).
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
