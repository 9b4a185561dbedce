"""SDSS's photometric columns: reddened asinh magnitudes with noise, errors, Petrosian values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.photometry import (
    error_column,
    extinction_column,
    magnitude_column,
)
from mgsflow.core.surveys import SDSS
from mgsflow.sky.columns import SERVED
from mgsflow.sky.simulated.camera import BANDS, CAMERA, ZERO_POINT, flux_error
from mgsflow.sky.simulated.relations import Array

MODEL_SCATTER = 0.02  # mag, common to all bands: from the choice and the extent of the fitted model
PER_MAGNITUDE = 0.4 * np.log(10)  # relative change of a flux for a small change in magnitude
EXTINCTION = np.array([SDSS.passband(band).extinction for band in BANDS])  # A / E(B-V)
CALIBRATION = np.array([CAMERA[band].calibration for band in BANDS])  # mag

# of asinh magnitudes, nanomaggies
_SOFTENING = 1e9 * np.array([SDSS.passband(band).softening for band in BANDS])


def add_fluxes(objects: pd.DataFrame) -> pd.DataFrame:
    """Add `extinction_*` and the true `nanomaggies_*` behind it, from `mag_*` and `reddening`."""
    columns = {}
    for band, coefficient in zip(BANDS, EXTINCTION, strict=True):
        extinction = coefficient * objects["reddening"]
        columns[extinction_column(band)] = extinction
        magnitude = objects[magnitude_column(band)]
        columns[f"nanomaggies_{band}"] = 10 ** (0.4 * (ZERO_POINT - magnitude - extinction))
    return objects.assign(**columns)


def measure_photometry(objects: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """PhotoObj's columns of `objects`, with their measurement noise.

    The reported error is photon noise; calibration and model scatter come in addition, as in SDSS.
    Both are Gaussian in flux, so that the likelihood of the magnitudes is known (likelihood.py).
    """
    true = objects[[f"nanomaggies_{band}" for band in BANDS]].to_numpy()
    error = flux_errors(true, objects["petro_r50"].to_numpy())
    shift = MODEL_SCATTER * random.normal(0, 1, (len(objects), 1))
    shift = shift + CALIBRATION * random.normal(0, 1, true.shape)
    measured = true * (1 - PER_MAGNITUDE * shift) + error * random.normal(0, 1, true.shape)
    magnitude = asinh_magnitude(measured)
    columns = measure_petrosian(objects, random)
    for i, band in enumerate(BANDS):
        columns[SERVED[magnitude_column(band)]] = magnitude[:, i]
        columns[SERVED[error_column(band)]] = _magnitude_error(measured, error)[:, i]
        extinction = extinction_column(band)
        columns[SERVED[extinction]] = objects[extinction].to_numpy()
    return pd.DataFrame(columns)


def measure_petrosian(objects: pd.DataFrame, random: np.random.Generator) -> dict[str, Array]:
    """PhotoObj's Petrosian columns; given the galaxy they are independent of the other noise."""
    size = len(objects)
    return {
        "petroMag_r": (objects["petro_mag_r"] + objects["extinction_r"]).to_numpy(),
        "petroR50_r": objects["petro_r50"].to_numpy() * 10 ** random.normal(0, 0.012, size),
        "petroR90_r": objects["petro_r90"].to_numpy() * 10 ** random.normal(0, 0.016, size),
    }


def flux_errors(fluxes: Array, half_light: Array) -> Array:
    """Photon noise of `fluxes`, both (n, bands) in nanomaggies; radii (n,) are in arcsec."""
    each = [flux_error(fluxes[:, i], half_light, CAMERA[band]) for i, band in enumerate(BANDS)]
    return np.stack(each, axis=1)


def asinh_magnitude(nanomaggies: Array) -> Array:
    """SDSS's asinh magnitudes of fluxes (n, bands), which are finite for negative fluxes too.

    Lupton et al. 1999, eq. 3.
    """
    return (
        -2.5 / np.log(10) * (np.arcsinh(nanomaggies / (2 * _SOFTENING)) + np.log(1e-9 * _SOFTENING))
    )


def flux_of_asinh(magnitude: Array) -> Array:
    """The fluxes in nanomaggies, (n, bands), of asinh magnitudes."""
    return 2 * _SOFTENING * np.sinh(-PER_MAGNITUDE * magnitude - np.log(1e-9 * _SOFTENING))


def _magnitude_error(nanomaggies: Array, error: Array) -> Array:
    return error / (PER_MAGNITUDE * softened(nanomaggies))


def softened(nanomaggies: Array) -> Array:
    """The flux in the derivative of an asinh magnitude: df = -softened PER_MAGNITUDE dm."""
    return np.hypot(nanomaggies, 2 * _SOFTENING)
