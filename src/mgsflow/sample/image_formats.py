"""Reading of an image of one galaxy, FITS or JPEG, with our orientation and bands.

A JPEG is a colour picture in SkyServer's form: first row north, channels i, r, g, uint8. A FITS
file holds (bands, y, x) in nanomaggies, with bands in the order of the layout unless its card BANDS
says otherwise. If it has a WCS, its scale is checked and its parity is converted to ours; otherwise
it is assumed to be north up and east left.
"""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from mgsflow.core.surveys import SDSS
from mgsflow.sample.frames import quiet_wcs, unpack
from mgsflow.sample.shards import Layout

JPEG_CHANNELS = SDSS.picture_channels  # SkyServer's red, green and blue
_SCALE_TOLERANCE = 0.01
_ROTATION_TOLERANCE = 0.02  # of a unit vector: about one degree, a pixel at a stamp's edge


class UnreadableError(Exception):
    """The bytes are not a complete image."""


class RefusedError(Exception):
    """An image that gives no stamp; the text is the reason in the account."""


class NoImageError(RefusedError):
    """A complete FITS file that declares to hold no image, as the Legacy Surveys' viewer does."""


def read_jpeg(data: bytes, layout: Layout) -> np.ndarray:
    """Pixels (bands, y, x), uint8, first row south, of a JPEG's bytes."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode != "RGB":
                raise RefusedError("its image is not in colour")
            channels = np.asarray(image)
    except OSError:  # also for a truncated JPEG
        raise UnreadableError("not a whole image") from None
    picked = channels[::-1, :, [JPEG_CHANNELS.index(band) for band in layout.bands]]
    return picked.transpose(2, 0, 1)


def read_fits(data: bytes, layout: Layout) -> np.ndarray:
    """Pixels (bands, y, x), float32 nanomaggies, first row south and first column east."""
    try:
        with fits.open(io.BytesIO(unpack(data)), memmap=False) as hdus:
            if hdus[0].header.get("OVERLAP") is False:
                raise NoImageError("there is no image of it")
            hdu = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
            planes, header = np.asarray(hdu.data, np.float32), hdu.header
            wcs = quiet_wcs(header)
    except NoImageError:
        raise
    except Exception:  # FITS and WCS fail on damaged bytes in many ways
        raise UnreadableError("not a whole image") from None
    return _our_parity(_our_bands(planes, header, layout), wcs, layout)


def crop(image: np.ndarray, layout: Layout) -> np.ndarray:
    """The central size x size pixels."""
    size, sides = layout.size, image.shape[1:]
    if min(sides) < size:
        raise RefusedError(f"its image is smaller than {size} pixels, stamps.size")
    y, x = ((side - size) // 2 for side in sides)
    return np.ascontiguousarray(image[:, y : y + size, x : x + size])


def _our_bands(data: np.ndarray, header: fits.Header, layout: Layout) -> np.ndarray:
    planes = data[None] if data.ndim == 2 else data
    named = str(header.get("BANDS", "".join(layout.bands))).strip()
    if planes.ndim != 3 or len(planes) != len(named) or not set(layout.bands) <= set(named):
        raise RefusedError(f"its image does not hold the bands {', '.join(layout.bands)}")
    return planes[[named.index(band) for band in layout.bands]]


def _our_parity(planes: np.ndarray, wcs: WCS, layout: Layout) -> np.ndarray:
    if not wcs.has_celestial:
        return planes
    matrix = 3600 * wcs.celestial.pixel_scale_matrix  # arcsec a pixel: rows east, north
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    if abs(scale / layout.pixel_scale - 1) > _SCALE_TOLERANCE:
        raise RefusedError(
            f"its pixel scale is not {layout.pixel_scale} arcsec, stamps.pixel_scale"
        )
    if max(abs(matrix[0, 1]), abs(matrix[1, 0])) > _ROTATION_TOLERANCE * scale:
        raise RefusedError("its image is rotated: its columns do not run north to south")
    south_first, east_first = matrix[1, 1] > 0, matrix[0, 0] < 0
    return planes[:, :: 1 if south_first else -1, :: 1 if east_first else -1]
