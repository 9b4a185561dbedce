"""Galaxies of the simulated sky's population at a redshift beyond the sample's."""

from __future__ import annotations

from collections.abc import Sequence

import galsim
import numpy as np
import pandas as pd

from mgsflow.config import Simulated
from mgsflow.core.photometry import error_column, magnitude_column, magnitude_columns
from mgsflow.sky.columns import SERVED
from mgsflow.sky.simulated.camera import BANDS, CAMERA
from mgsflow.sky.simulated.drawing import galaxy_profile, point_spread
from mgsflow.sky.simulated.photometry import add_fluxes, measure_photometry
from mgsflow.sky.simulated.population import draw_population


def draw_far(
    count: int,
    redshifts: tuple[float, float],
    limit: float,
    brightness: np.ndarray | None,
    simulated: Simulated,
    random: np.random.Generator,
) -> pd.DataFrame:
    """`count` galaxies at these redshifts brighter than `limit` in r, with their true fluxes.

    Where `brightness` (n,) is given, their magnitudes are shifted to these in r; the sizes stay.
    The Galaxy's dust is left out: magnitudes are as if corrected for it.
    """
    low, high = redshifts
    deep = simulated.model_copy(
        update={"redshift_min": low, "redshift_max": high, "petro_mag_r_max": limit}
    )
    galaxies = draw_population(count, deep, random)
    shift = 0.0 if brightness is None else brightness - galaxies[magnitude_column("r")].to_numpy()
    moved = {name: galaxies[name] + shift for name in _MAGNITUDES}
    return add_fluxes(galaxies.assign(**moved, reddening=0.0))


_MAGNITUDES = ("petro_mag_r", *magnitude_columns(BANDS))


def observe_far(
    galaxies: pd.DataFrame, random: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measured magnitudes and their errors, a column a band."""
    measured = measure_photometry(galaxies, random)
    magnitudes, errors = (
        measured[[SERVED[column(band)] for band in BANDS]].set_axis(list(BANDS), axis=1)
        for column in (magnitude_column, error_column)
    )
    return magnitudes, errors


def far_profiles(
    galaxies: pd.DataFrame, bands: Sequence[str], fwhm: float
) -> list[list[galsim.GSObject]]:
    """Light profiles of flux 1 through seeing of `fwhm` in r, arcsec: a list of bands each."""
    seeing = {band: point_spread(fwhm * CAMERA[band].seeing) for band in bands}
    return [
        [galsim.Convolve([galaxy_profile(row, band).withFlux(1.0), seeing[band]]) for band in bands]
        for _, row in galaxies.iterrows()
    ]
