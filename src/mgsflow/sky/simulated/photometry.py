"""SDSS's photometric columns: reddened asinh magnitudes with noise, errors, Petrosian values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.quantities import BANDS
from mgsflow.sky.simulated.camera import CAMERA, flux_error
from mgsflow.sky.simulated.relations import Array

# Softening of SDSS's asinh magnitudes, in maggies (Lupton et al. 1999; Stoughton et al. 2002)
SOFTENING = {"u": 1.4e-10, "g": 0.9e-10, "r": 1.2e-10, "i": 1.8e-10, "z": 7.4e-10}
MODEL_SCATTER = 0.02  # mag, common to all bands: which model fitted best, how far it was followed


def add_fluxes(objects: pd.DataFrame) -> pd.DataFrame:
    """`extinction_*` and true `nanomaggies_*` behind it, from `mag_*` and `reddening`."""
    columns = {}
    for band in BANDS:
        extinction = CAMERA[band].extinction * objects["reddening"]
        columns[f"extinction_{band}"] = extinction
        columns[f"nanomaggies_{band}"] = 10 ** (0.4 * (22.5 - objects[f"mag_{band}"] - extinction))
    return objects.assign(**columns)


def measure_photometry(objects: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """PhotoObj's columns of `objects`, with their measurement noise.

    The reported error is the photons'; calibration and model scatter come on top, as in SDSS.
    """
    size = len(objects)
    half_light = objects["petro_r50"].to_numpy()
    columns: dict[str, Array] = {
        "petroMag_r": (objects["petro_mag_r"] + objects["extinction_r"]).to_numpy(),
        "petroR50_r": half_light * 10 ** random.normal(0, 0.012, size),
        "petroR90_r": objects["petro_r90"].to_numpy() * 10 ** random.normal(0, 0.016, size),
    }
    model = random.normal(0, MODEL_SCATTER, size)
    for band in BANDS:
        true = objects[f"nanomaggies_{band}"].to_numpy()
        error = flux_error(true, half_light, CAMERA[band])
        shift = model + random.normal(0, CAMERA[band].calibration, size)
        measured = true * 10 ** (0.4 * shift) + error * random.normal(0, 1, size)
        columns[f"modelMag_{band}"] = asinh_magnitude(measured, band)
        columns[f"modelMagErr_{band}"] = _magnitude_error(measured, error, band)
        columns[f"extinction_{band}"] = objects[f"extinction_{band}"].to_numpy()
    return pd.DataFrame(columns)


def asinh_magnitude(nanomaggies: Array, band: str) -> Array:
    """SDSS's asinh magnitude, finite for negative fluxes too (Lupton et al. 1999, eq. 3)."""
    softening = SOFTENING[band]
    return (
        -2.5 / np.log(10) * (np.arcsinh(nanomaggies * 1e-9 / (2 * softening)) + np.log(softening))
    )


def _magnitude_error(nanomaggies: Array, error: Array, band: str) -> Array:
    softened = np.hypot(nanomaggies, 2 * SOFTENING[band] * 1e9)
    return 2.5 / np.log(10) * error / softened
