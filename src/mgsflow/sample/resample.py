"""Resampling of a frame's pixels to a stamp: north up, east left, centred on the galaxy.

Over the arcminute of a stamp the map from the sky's tangent plane to the pixels of a frame is
affine to 1e-5 arcsec (both are gnomonic, so the second-order term is the stamp's radius squared
times the distance to the frame's centre). It is therefore enough to evaluate the WCS at five points
per galaxy instead of at every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from scipy import ndimage

ARCSEC = np.pi / 180 / 3600
_STEP = 10.0  # arcsec, half the base of the finite differences
_MARGIN = 12  # pixels around a stamp's footprint, beyond which the spline's kernel is negligible


@dataclass(frozen=True)
class Grid:
    """The pixels of a stamp: `size` per side, `pixel_scale` in arcsec.

    The galaxy is at pixel ((size - 1) / 2, (size - 1) / 2), counted from 0: the corner that the
    four central pixels share.
    """

    size: int
    pixel_scale: float

    @property
    def centre(self) -> float:
        return (self.size - 1) / 2


@dataclass(frozen=True)
class Placement:
    """The position of a stamp in a frame: pixel (y, x) = matrix @ (row, column) + offset."""

    matrix: np.ndarray
    offset: np.ndarray

    @property
    def area(self) -> float:
        """Area of a pixel of the stamp in pixels of the frame."""
        return float(abs(np.linalg.det(self.matrix)))

    def __call__(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Frame coordinates (2, ...) of positions in the stamp."""
        position = np.stack(np.broadcast_arrays(row, column)).astype(np.float64)
        return np.tensordot(self.matrix, position, 1) + self.offset.reshape(
            2, *[1] * (position.ndim - 1)
        )


def place(wcs: WCS, ra: np.ndarray, dec: np.ndarray, grid: Grid) -> list[Placement]:
    """Place the stamps of galaxies at `ra`, `dec` (deg, shape (n,)) in the frame of `wcs`."""
    east = np.array([0.0, _STEP, -_STEP, 0.0, 0.0])
    north = np.array([0.0, 0.0, 0.0, _STEP, -_STEP])
    around = _offset_sky(np.asarray(ra)[:, None], np.asarray(dec)[:, None], east, north)
    x, y = wcs.world_to_pixel_values(*around)
    pixel = np.stack([y, x], axis=-1)  # (n, 5, 2)
    per_east = (pixel[:, 1] - pixel[:, 2]) / (2 * _STEP)
    per_north = (pixel[:, 3] - pixel[:, 4]) / (2 * _STEP)
    # rows increase to the north, columns to the west
    matrix = np.stack([per_north, -per_east], axis=-1) * grid.pixel_scale
    offset = pixel[:, 0] - matrix @ np.full(2, grid.centre)
    return [Placement(m, o) for m, o in zip(matrix, offset, strict=True)]


def _offset_sky(
    ra: np.ndarray, dec: np.ndarray, east: np.ndarray, north: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sky positions (deg) at tangent-plane offsets (arcsec) from `ra`, `dec` (deg)."""
    ra, dec, xi, eta = np.deg2rad(ra), np.deg2rad(dec), east * ARCSEC, north * ARCSEC
    across = np.cos(dec) - eta * np.sin(dec)
    return (
        np.rad2deg(ra + np.arctan2(xi, across)) % 360,
        np.rad2deg(np.arctan2(np.sin(dec) + eta * np.cos(dec), np.hypot(xi, across))),
    )


def is_inside(placement: Placement, grid: Grid, shape: tuple[int, int]) -> bool:
    """Whether the whole stamp lies within a frame of `shape` (rows, columns)."""
    return bool(_within(_corners(placement, grid), shape).all())


def rows_beyond(placement: Placement, grid: Grid, shape: tuple[int, int]) -> list[int]:
    """Sides on which the stamp extends beyond a frame's rows: -1 before the first, 1 past the last.

    Rows run along the scan, so these are the steps to the fields that contain the rest.
    """
    y, _ = _corners(placement, grid)
    return [-1] * bool((y < -0.5).any()) + [1] * bool((y > shape[0] - 0.5).any())


def _corners(placement: Placement, grid: Grid) -> np.ndarray:
    """The stamp's outer corners in the frame: (2, 4)."""
    edge = np.array([-0.5, grid.size - 0.5])
    return placement(edge[:, None], edge[None, :]).reshape(2, -1)


def centre_is_inside(placement: Placement, grid: Grid, shape: tuple[int, int]) -> bool:
    """Whether the galaxy itself lies within a frame of `shape`."""
    return bool(_within(placement(np.array(grid.centre), np.array(grid.centre)), shape))


def _within(position: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    y, x = position
    return (y >= -0.5) & (y <= shape[0] - 0.5) & (x >= -0.5) & (x <= shape[1] - 0.5)


def resample(
    frames: Sequence[tuple[np.ndarray, Placement]], grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """A stamp from overlapping frames, and the mask of its pixels that no frame covers.

    `frames` are pixels (rows, columns) with the stamp's placement in them; each pixel of the stamp
    is from the first frame that covers it. The stamp is float32 (size, size), in flux per pixel of
    the stamp, and 0, the level of the sky, where the mask (size, size) is true.

    Cubic splines interpolate the pixels once. If a pixel of the stamp is larger than one of the
    frame, the mean over several points within it is taken, so that no pixel is skipped. The result
    is multiplied by the ratio of the pixels' areas, which conserves flux.
    """
    finer = max(1, round(np.sqrt(frames[0][1].area) + 0.3))
    side = grid.size * finer
    stamp = np.zeros((side, side), np.float32)
    open_ = np.ones((side, side), bool)
    for pixels, placement in frames:
        fine = _refine(placement, finer)
        if is_inside(placement, grid, pixels.shape):
            covered = open_
        else:
            row = np.arange(side)
            covered = open_ & _within(fine(row[:, None], row[None, :]), pixels.shape)
        if covered.any():
            values = _interpolate(pixels, fine, side) * np.float32(placement.area)
            stamp[covered] = values[covered]
            open_ = open_ & ~covered
    if finer > 1:
        blocks = (grid.size, finer, grid.size, finer)
        stamp = stamp.reshape(blocks).mean(axis=(1, 3))
        open_ = open_.reshape(blocks).any(axis=(1, 3))
    return stamp, open_


def _interpolate(pixels: np.ndarray, placement: Placement, side: int) -> np.ndarray:
    crop, corner = _crop(pixels, placement, side)
    coefficients = ndimage.spline_filter(crop, 3, output=np.float32, mode="nearest")
    return ndimage.affine_transform(
        coefficients,
        placement.matrix,
        placement.offset - corner,
        (side, side),
        np.float32,
        order=3,
        mode="nearest",
        prefilter=False,
    )


def _refine(placement: Placement, finer: int) -> Placement:
    """The same stamp with pixels whose sides are smaller by the factor `finer`."""
    shift = np.full(2, 0.5 / finer - 0.5)
    return Placement(placement.matrix / finer, placement.offset + placement.matrix @ shift)


def _crop(pixels: np.ndarray, placement: Placement, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a frame around a stamp of `side` pixels, and its corner (y, x) in the frame."""
    edge = np.array([0, side - 1])
    corners = placement(edge[:, None], edge[None, :]).reshape(2, -1)
    limit = np.array(pixels.shape)
    low = np.clip(np.floor(corners.min(axis=1)).astype(int) - _MARGIN, 0, limit)
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int) + _MARGIN + 1, 0, limit)
    return pixels[low[0] : high[0], low[1] : high[1]], low
