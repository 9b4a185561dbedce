"""The exact likelihood of the photometry: the density from which measure_photometry draws."""

from __future__ import annotations

import numpy as np

from mgsflow.sky.simulated.photometry import (
    CALIBRATION,
    MODEL_SCATTER,
    PER_MAGNITUDE,
    flux_errors,
    flux_of_asinh,
    softened,
)
from mgsflow.sky.simulated.relations import Array

BANDS_COUNT = len(CALIBRATION)


def log_likelihood(magnitude: Array, extinction: Array, true: Array, half_light: Array) -> Array:
    """ln p of dereddened asinh magnitudes, shape (n,), in 1 / mag^bands.

    Parameters
    ----------
    magnitude : (n, bands), from the photometry stage: measured magnitudes minus `extinction`
    extinction : (n, bands) of the Galaxy, mag, known to the survey without error
    true : (n, bands), true flux behind the Galaxy's dust, nanomaggies
    half_light : (n,), the radius that determines the photon noise, arcsec
    """
    measured = flux_of_asinh(magnitude + extinction)
    error = flux_errors(true, half_light)
    # the covariance is diagonal except for the models' scatter, which is common to all bands
    diagonal = error**2 + (PER_MAGNITUDE * CALIBRATION * true) ** 2
    common = PER_MAGNITUDE * MODEL_SCATTER * true
    density = log_gaussian(measured - true, diagonal, common)
    return density + np.log(PER_MAGNITUDE * softened(measured)).sum(axis=1)


def log_gaussian(offset: Array, diagonal: Array, common: Array) -> Array:
    """ln N(offset; 0, diag(diagonal) + common common^T), all of shape (n, bands).

    By the formula of Sherman & Morrison 1950.
    """
    inverse = 1 / diagonal
    strength = 1 + (common**2 * inverse).sum(axis=1)
    along = (common * offset * inverse).sum(axis=1)
    chi2 = (offset**2 * inverse).sum(axis=1) - along**2 / strength
    determinant = np.log(diagonal).sum(axis=1) + np.log(strength)
    return -0.5 * (chi2 + determinant + BANDS_COUNT * np.log(2 * np.pi))
