"""Stamps from your own image files, one a galaxy, named by its objid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from mgsflow.config import Catalogue, Stamps
from mgsflow.core.errors import UserError
from mgsflow.sample.cutting import Cut, finite_cut
from mgsflow.sample.frames import quiet_wcs
from mgsflow.sample.shards import Layout

JPEG_CHANNELS = ("i", "r", "g")  # SkyServer's red, green and blue
_SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "fits": (".fits", ".fits.gz", ".fits.bz2")}
_SCALE_TOLERANCE = 0.01
_ROTATION_TOLERANCE = 0.02  # of a unit vector: about one degree, a pixel at a stamp's edge


class _RefusedError(Exception):
    """Why a file gives no stamp; the text is the reason in the account."""


class FileStamps:
    """Stamps out of `catalogue.stamp_folder`: `OBJID.fits` or `OBJID.jpg`.

    A JPEG is a colour picture as SkyServer draws it: first row north, channels i, r, g, uint8. A
    FITS file holds (bands, y, x) in nanomaggies, the bands in the order of `stamps.bands` unless
    its card BANDS says otherwise. With a WCS, its scale is checked and its parity made ours;
    without one it is taken to be north up and east left already.
    """

    def __init__(self, catalogue: Catalogue, stamps: Stamps) -> None:
        self._folder = Path(catalogue.stamp_folder)
        self._format = catalogue.stamp_format
        if not self._folder.is_dir():
            raise UserError(
                f"catalogue.stamp_folder: {self._folder} is no folder. Name the one that holds "
                f"the stamps, OBJID{_SUFFIXES[self._format][0]}."
            )
        _check_bands(self._format, stamps)
        self.layout = Layout(
            "files",
            tuple(stamps.bands),
            stamps.size,
            stamps.pixel_scale,
            "uint8" if self._format == "jpeg" else "float16",
        )

    def cut(self, galaxies: pd.DataFrame) -> Iterator[Cut]:
        """Read the stamps of all galaxies (column objid), in order of objid."""
        for objid in np.sort(galaxies["objid"].to_numpy(np.int64)):
            yield self._cut_galaxy(int(objid))

    def _cut_galaxy(self, objid: int) -> Cut:
        try:
            path = self._path(objid)
            if self._format == "jpeg":
                return Cut(objid, self._crop(_read_jpeg(path, self.layout)))
            return finite_cut(objid, self._crop(_read_fits(path, self.layout)))
        except _RefusedError as refused:
            return Cut(objid, None, str(refused))

    def _path(self, objid: int) -> Path:
        for suffix in _SUFFIXES[self._format]:
            path = self._folder / f"{objid}{suffix}"
            if path.is_file():
                return path
        raise _RefusedError("there is no image file of it")

    def _crop(self, image: np.ndarray) -> np.ndarray:
        """The central size x size pixels."""
        size, sides = self.layout.size, image.shape[1:]
        if min(sides) < size:
            raise _RefusedError(f"its image is smaller than {size} pixels, stamps.size")
        y, x = ((side - size) // 2 for side in sides)
        return np.ascontiguousarray(image[:, y : y + size, x : x + size])


def _check_bands(format: str, stamps: Stamps) -> None:
    strange = [band for band in stamps.bands if band not in JPEG_CHANNELS]
    if format == "jpeg" and strange:
        raise UserError(
            f"stamps.bands: a JPEG has the channels {', '.join(JPEG_CHANNELS)}, not "
            f"{', '.join(strange)}. Leave these bands out, or give FITS stamps."
        )


def _read_jpeg(path: Path, layout: Layout) -> np.ndarray:
    """Pixels (bands, y, x), uint8, first row south."""
    try:
        with Image.open(path) as image:
            if image.mode != "RGB":
                raise _RefusedError("its image is not in colour")
            channels = np.asarray(image)
    except OSError:
        raise _RefusedError("its image file cannot be read") from None
    picked = channels[::-1, :, [JPEG_CHANNELS.index(band) for band in layout.bands]]
    return picked.transpose(2, 0, 1)


def _read_fits(path: Path, layout: Layout) -> np.ndarray:
    """Pixels (bands, y, x), float32 nanomaggies, first row south and first column east."""
    try:
        with fits.open(path, memmap=False) as hdus:
            hdu = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
            data, header = np.asarray(hdu.data, np.float32), hdu.header
            wcs = quiet_wcs(header)
    except (OSError, ValueError, TypeError, StopIteration):
        raise _RefusedError("its image file cannot be read") from None
    return _our_parity(_our_bands(data, header, layout), wcs, layout)


def _our_bands(data: np.ndarray, header: fits.Header, layout: Layout) -> np.ndarray:
    planes = data[None] if data.ndim == 2 else data
    named = str(header.get("BANDS", "".join(layout.bands))).strip()
    if planes.ndim != 3 or len(planes) != len(named) or not set(layout.bands) <= set(named):
        raise _RefusedError(f"its image does not hold the bands {', '.join(layout.bands)}")
    return planes[[named.index(band) for band in layout.bands]]


def _our_parity(planes: np.ndarray, wcs: WCS, layout: Layout) -> np.ndarray:
    if not wcs.has_celestial:
        return planes
    matrix = 3600 * wcs.celestial.pixel_scale_matrix  # arcsec a pixel: rows east, north
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    if abs(scale / layout.pixel_scale - 1) > _SCALE_TOLERANCE:
        raise _RefusedError(
            f"its pixel scale is not {layout.pixel_scale} arcsec, stamps.pixel_scale"
        )
    if max(abs(matrix[0, 1]), abs(matrix[1, 0])) > _ROTATION_TOLERANCE * scale:
        raise _RefusedError("its image is rotated: its columns do not run north to south")
    south_first, east_first = matrix[1, 1] > 0, matrix[0, 0] < 0
    return planes[:, :: 1 if south_first else -1, :: 1 if east_first else -1]
