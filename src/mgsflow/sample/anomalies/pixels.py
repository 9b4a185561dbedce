"""Stamps of what is not there: empty sky, and light drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import galsim
import numpy as np

from mgsflow.core.progress import track
from mgsflow.sky.simulated.camera import CAMERA
from mgsflow.sky.simulated.drawing import point_spread

BORDER = 0.1  # of a stamp's side, in which there is more sky than galaxy
CLIP = 3.0  # of the border's scatter, beyond which a pixel is a neighbour's
MAD_TO_SIGMA = 1.4826


def empty(stamps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Stamps of the shape and type of `stamps`, (n, bands, size, size), without any object.

    Each pixel is one of the same stamp's and band's border, drawn at random among those within
    three standard deviations of its median: the sky's level and noise, whatever the provider.
    """
    width = max(1, round(BORDER * stamps.shape[-1]))
    inner = np.zeros(stamps.shape[-2:], bool)
    inner[width:-width, width:-width] = True
    out = np.empty_like(stamps)
    for stamp, blank in zip(stamps, out, strict=True):
        for pixels, target in zip(stamp, blank, strict=True):
            target[...] = random.choice(_sky(pixels[~inner]), target.shape)
    return out


def _sky(border: np.ndarray) -> np.ndarray:
    values = border.astype(np.float64)
    offset = np.abs(values - np.median(values))
    return border[offset <= CLIP * MAD_TO_SIGMA * np.median(offset)]


def star_profiles(count: int, bands: Sequence[str], fwhm: float) -> list[list[galsim.GSObject]]:
    """Point sources of flux 1, a list of bands for each; `fwhm` is the seeing's in r, arcsec."""
    return [[point_spread(fwhm * CAMERA[band].seeing) for band in bands]] * count


def render(
    sky: np.ndarray,
    profiles: Sequence[Sequence[galsim.GSObject]],
    fluxes: np.ndarray,
    bands: Sequence[str],
    pixel_scale: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Stamps `sky`, (n, bands, size, size) in nanomaggies, with light and its photons' noise.

    `profiles` are of flux 1 and seen through the seeing, `fluxes` (n, bands) in nanomaggies. The
    centre lies anywhere within the middle pixel, as galaxies' centres do.
    """
    out = sky.astype(np.float32)
    size = sky.shape[-1]
    for row in track(range(len(sky)), "stamps drawn"):
        offset = random.uniform(-0.5, 0.5, 2)
        for i, band in enumerate(bands):
            image = profiles[row][i].drawImage(
                nx=size, ny=size, scale=pixel_scale, offset=offset, dtype=np.float32
            )
            light = np.maximum(image.array, 0) * fluxes[row, i]
            per_count = CAMERA[band].nanomaggies_per_count
            noise = np.sqrt(light * per_count / CAMERA[band].gain)
            out[row, i] += light + noise * random.standard_normal(light.shape)
    return out.astype(sky.dtype)
