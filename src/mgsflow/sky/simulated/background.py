"""Other contents of a frame beside the catalogue: faint objects, sky, noise, integer counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.photometry import magnitudes_of_colours
from mgsflow.sky.simulated.camera import BANDS, CAMERA, FRAME_SHAPE, ZERO_POINT
from mgsflow.sky.simulated.contaminants import STELLAR_LOCUS
from mgsflow.sky.simulated.relations import Array

BACKGROUND_STARS, BACKGROUND_GALAXIES = 50, 50  # per field, fainter than the sample


def background_objects(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Faint stars and galaxies at random positions on a field's frames.

    Number counts rise by a factor of ten in 5 mag for stars and in 2 mag for galaxies (Yasuda et
    al. 2001).
    """
    stars, galaxies = (
        pd.DataFrame(
            {
                "x": random.uniform(-20, FRAME_SHAPE[1] + 20, count),
                "y": random.uniform(-20, FRAME_SHAPE[0] + 20, count),
            }
        )
        for count in (BACKGROUND_STARS, BACKGROUND_GALAXIES)
    )
    bright = _counts_magnitude(15.5, 21.5, 0.2, BACKGROUND_STARS, random)
    place = random.uniform(0, len(STELLAR_LOCUS) - 1, BACKGROUND_STARS)
    colours = [np.interp(place, np.arange(len(STELLAR_LOCUS)), c) for c in STELLAR_LOCUS.T]
    stars = stars.assign(**_fluxes(bright, np.stack(colours, axis=1)))
    faint = _counts_magnitude(18.2, 21.5, 0.5, BACKGROUND_GALAXIES, random)
    mean = np.array([1.3, 0.9, 0.42, 0.30])
    reddish = mean + random.normal(0, 1, (BACKGROUND_GALAXIES, 1)) * [0.3, 0.3, 0.08, 0.06]
    galaxies = galaxies.assign(
        **_fluxes(faint, reddish),
        **{f"bulge_share_{band}": 0.0 for band in BANDS},
        disk_radius=10 ** random.normal(0.0, 0.18, BACKGROUND_GALAXIES),
        disk_axis_ratio=random.uniform(0.25, 1.0, BACKGROUND_GALAXIES),
        bulge_radius=0.0,
        position_angle=random.uniform(0, 180, BACKGROUND_GALAXIES),
    )
    return stars, galaxies


def _counts_magnitude(
    brightest: float, faintest: float, slope: float, count: int, random: np.random.Generator
) -> Array:
    """r magnitudes of number counts that rise as 10^(slope m)."""
    share = random.uniform(10 ** (slope * (brightest - faintest)), 1.0, count)
    return faintest + np.log10(share) / slope


def _fluxes(r: Array, colours: Array) -> dict[str, Array]:
    magnitudes = magnitudes_of_colours(colours.T, BANDS, "r", r)
    return {f"nanomaggies_{b}": 10 ** (0.4 * (ZERO_POINT - m)) for b, m in magnitudes.items()}


def observe(
    flux: np.ndarray, calibration: Array, sky: np.ndarray, band: str, noise: np.ndarray
) -> np.ndarray:
    """The camera's image of `flux` in nanomaggies: sky-subtracted nanomaggies, float32.

    `calibration` has the nanomaggies per count of each column, `sky` the counts of each pixel,
    `noise` their standard normal deviates. Counts are integers before the sky is subtracted, as in
    the real frames. Every pixel receives tens of photons or more, so a Gaussian approximates
    Poisson's law.
    """
    camera = CAMERA[band]
    scale = calibration.astype(np.float32)
    counts = np.asarray(flux, dtype=np.float32) / scale + sky
    deviation = np.sqrt(np.maximum(counts, 0.0) / camera.gain + camera.dark_variance)
    counts += deviation * noise
    return _shorten((np.round(counts) - sky) * scale)


def _shorten(values: np.ndarray) -> np.ndarray:
    """Float32 values rounded to ten binary digits, like SAS's frames, for better compression."""
    bits = values.astype(np.float32).view(np.uint32)
    # nine of the mantissa's 23 stored bits are kept; half of the last one is added for rounding
    return ((bits + np.uint32(1 << 13)) & np.uint32(0xFFFFFFFF << 14 & 0xFFFFFFFF)).view(np.float32)
