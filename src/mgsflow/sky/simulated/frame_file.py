"""A frame in SAS's file format: header, calibration, sky, astrometry, compressed."""

from __future__ import annotations

import bz2
import io

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from mgsflow.sky.simulated.camera import CAMERA, FRAME_SHAPE
from mgsflow.sky.simulated.placement import NODE, RERUN, field_wcs
from mgsflow.sky.simulated.relations import Array

SKY_GRID = (192, 256)  # shape of a frame's sky image, in HDU 2
# Size of bzip2's blocks, in 100 kB. Compared with SAS's 9, frames are a tenth larger, are written a
# tenth faster and are read in two thirds of the time.
BLOCKS = 3


CAMERA_ROWS = "riuzg"  # in the order in which the sky drifts over them (Gunn et al. 1998)


def frame_file(
    field: pd.Series, band: str, image: np.ndarray, calibration: Array, sky: np.ndarray
) -> bytes:
    """The bytes of `frame-*.fits.bz2`.

    `image` has sky-subtracted nanomaggies, shape (1489, 2048), float32; `calibration` the
    nanomaggies per count of each column; `sky` the counts on the grid SKY_GRID. `field` is the row
    of any object of the field in the truth.
    """
    frame = fits.HDUList(
        [
            fits.PrimaryHDU(image, _header(field, band, field_wcs(field, band))),
            fits.ImageHDU(calibration.astype(np.float32)),
            _sky_table(sky),
            _astrometry_table(field, band),
        ]
    )
    buffer = io.BytesIO()
    frame.writeto(buffer)
    return bz2.compress(buffer.getvalue(), BLOCKS)


def sky_axes() -> tuple[Array, Array]:
    """Positions of a frame's columns and rows on the sky's grid, as in the real frames."""
    rows, columns = FRAME_SHAPE
    return np.arange(columns) / 8 - 0.4375, np.arange(rows) / 8 + 0.5625


def sky_on_pixels(sky: np.ndarray, columns: Array, rows: Array) -> np.ndarray:
    """A frame's sky in counts, from HDU 2's ALLSKY, XINTERP and YINTERP: shape (1489, 2048)."""
    return _interpolate(_interpolate(sky.T, columns).T, rows)


def _interpolate(values: np.ndarray, positions: Array) -> np.ndarray:
    """Rows of `values` at fractional `positions`, by linear interpolation, constant beyond ends."""
    last = len(values) - 1
    at = np.clip(positions, 0, last)
    below = np.minimum(at.astype(int), last - 1)
    share = (at - below).astype(np.float32)[:, None]
    lower = np.ascontiguousarray(values, dtype=np.float32)
    steps = np.diff(lower, axis=0)
    return lower[below] + share * steps[below]


def _header(field: pd.Series, band: str, wcs: WCS) -> fits.Header:
    header = fits.Header()
    header["ORIGIN"] = ("mgsflow", "A simulated sky, not SDSS's")
    header["TELESCOP"] = "2.5m"
    header["RUN"] = (int(field["run"]), "Run number")
    row = CAMERA_ROWS.index(band) + 1
    # the camera's rows see a field one after another, two frames apart
    frame = int(field["field"]) + 2 * (row - 1)
    header["FRAME"] = (frame, "Frame sequence number within the run")
    header["CAMROW"] = (row, "Row in the imaging camera")
    header["NODE"] = (NODE, "RA of the great circle's ascending node (deg)")
    header["INCL"] = (float(field["inclination"]), "Great circle's inclination (deg)")
    header["EXPTIME"] = ("53.907456", "Exposure time (seconds)")
    header["CCDMODE"] = "DRIFT"
    header["EQUINOX"] = 2000.0
    header["FILTER"] = (band, "filter used")
    header["CAMCOL"] = (int(field["camcol"]), "column in the imaging camera")
    header["RERUN"] = (str(RERUN), "rerun")
    header["RADECSYS"] = "ICRS"
    header["BUNIT"] = ("nanomaggy", "1 nanomaggy = 3.631e-6 Jy")
    header["NMGY"] = (CAMERA[band].nanomaggies_per_count, "Calibration factor [nMgy per count]")
    for keyword, value, comment in _projection(wcs):
        header[keyword] = (value, comment)
    return header


def _projection(wcs: WCS) -> list[tuple[str, object, str]]:
    """The cards of the projection in SDSS's form (astropy would write PC and CDELT)."""
    cd = wcs.wcs.cd
    cards = [("CTYPE1", "RA---TAN", ""), ("CTYPE2", "DEC--TAN", "")]
    cards += [("CUNIT1", "deg", ""), ("CUNIT2", "deg", "")]
    for axis in (1, 2):
        cards.append((f"CRPIX{axis}", float(wcs.wcs.crpix[axis - 1]), "Reference pixel"))
        cards.append((f"CRVAL{axis}", float(wcs.wcs.crval[axis - 1]), "Its RA or Dec (deg)"))
        cards += [
            (f"CD{axis}_{pixel}", float(cd[axis - 1, pixel - 1]), "deg / pixel") for pixel in (1, 2)
        ]
    return cards


def _sky_table(sky: np.ndarray) -> fits.BinTableHDU:
    columns, rows = sky_axes()
    return fits.BinTableHDU.from_columns(
        [
            fits.Column(
                "ALLSKY", f"{sky.size}E", dim=f"({SKY_GRID[1]},{SKY_GRID[0]})", array=sky[None]
            ),
            fits.Column("XINTERP", f"{len(columns)}E", array=columns[None]),
            fits.Column("YINTERP", f"{len(rows)}E", array=rows[None]),
        ]
    )


def _astrometry_table(field: pd.Series, band: str) -> fits.BinTableHDU:
    """Great-circle astrometry: mu = A + B row + C col, nu = D + E row + F col, from the corner."""
    scale = abs(np.linalg.det(field_wcs(field, band).wcs.cd)) ** 0.5
    along = scale / np.cos(np.radians(field["nu"]))  # of mu, whose circles shrink off nu = 0
    column, row = np.array([FRAME_SHAPE[1] / 2, FRAME_SHAPE[0] // 2]) + CAMERA[band].offset
    values = {
        "NODE": NODE,
        "INCL": field["inclination"],
        "A": field["mu"] - row * along,
        "B": along,
        "C": 0.0,
        "D": field["nu"] - column * scale,
        "E": 0.0,
        "F": scale,
    }
    doubles = [fits.Column(name, "D", array=[value]) for name, value in values.items()]
    names = [
        fits.Column("RUN", "J", array=[field["run"]]),
        fits.Column("RERUN", "3A", array=[str(RERUN)]),
        fits.Column("CAMCOL", "J", array=[field["camcol"]]),
        fits.Column("FILTER", "1A", array=[band]),
        fits.Column("FIELD", "J", array=[field["field"]]),
    ]
    return fits.BinTableHDU.from_columns(names + doubles)
