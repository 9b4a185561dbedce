"""Stamps of what is not there: empty sky, and light drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import galsim
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mgsflow.core.progress import track
from mgsflow.sky.simulated.camera import CAMERA
from mgsflow.sky.simulated.drawing import point_spread

BORDER = 0.1  # of a stamp's side, in which there is more sky than galaxy
CLEAN = 0.5  # share of the border's patches that are taken from: those with the least in them


def empty(stamps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Stamps of the shape and type of `stamps`, (n, bands, size, size), without any object.

    Put together of square patches of the same stamp's border, at random among the half of them
    with the least in them: the sky's level and noise, with what neighbouring pixels and bands have
    in common, whatever the provider. There are seams, and no neighbours.
    """
    size = stamps.shape[-1]
    width = max(1, round(BORDER * size))
    places = _border(size, width)
    across = -(-size // width)
    out = np.empty_like(stamps)
    for stamp, blank in zip(stamps, out, strict=True):
        windows = sliding_window_view(stamp, (width, width), axis=(1, 2))
        patches = windows[:, places[:, 0], places[:, 1]]
        clean = np.argsort(_most(patches), kind="stable")[: max(1, round(CLEAN * len(places)))]
        chosen = patches[:, random.choice(clean, across**2)]
        rows = chosen.reshape(-1, across, across, width, width).swapaxes(2, 3)
        blank[...] = rows.reshape(-1, across * width, across * width)[:, :size, :size]
    return out


def patched(stamps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The `stamps` themselves, but for their border, which is that of `empty`."""
    width = max(1, round(BORDER * stamps.shape[-1]))
    middle = (..., slice(width, -width), slice(width, -width))
    out = empty(stamps, random)
    out[middle] = stamps[middle]
    return out


def _border(size: int, width: int) -> np.ndarray:
    """Corners (m, 2) of the patches of `width` along a stamp's four sides."""
    last = size - width
    return np.array(
        [p for p in np.ndindex(last + 1, last + 1) if p[0] in (0, last) or p[1] in (0, last)]
    )


def _most(patches: np.ndarray) -> np.ndarray:
    """How far patches (bands, m, width, width) are from the sky at most, (m,), in its scatter."""
    values = patches.astype(np.float64)
    offset = np.abs(values - np.median(values, axis=(1, 2, 3), keepdims=True))
    scatter = np.median(offset, axis=(1, 2, 3), keepdims=True)
    return (offset / np.maximum(scatter, np.finfo(np.float32).tiny)).max(axis=(0, 2, 3))


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
