"""Fields on the sky, the objects in them, and SDSS's identifiers of both.

SDSS scans great circles: a run drifts along mu, and its six camera columns lie side by side in nu
(York et al. 2000; Stoughton et al. 2002, section 4). A frame's rows run along mu and its columns
along nu, so north is not up in any frame.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from astropy.wcs import WCS

from mgsflow.sky.simulated.camera import CAMERA, FRAME_SHAPE, PIXEL_SCALE
from mgsflow.sky.simulated.relations import Array

RUNS = (
    752,
    1035,
    1302,
    1345,
    1402,
    1462,
    1739,
    1904,
    2126,
    2304,
    2566,
    2986,
    3015,
    3225,
    3630,
    3900,
)
NODE = 95.0  # deg, right ascension of the great circles' ascending node
RERUN = 301
SKY_VERSION = 2
FIELDS_IN_A_ROW = 10  # consecutive fields of one run and camera column
FIRST_FIELD = 11
FRAME_STEP = 1361  # rows from a frame to the next: 128 of 1489 overlap
FIELD_STEP = FRAME_STEP * PIXEL_SCALE / 3600  # deg along the scan
COLUMN_STEP = 0.42  # deg of nu between camera columns
MARGIN = 122.0  # pixels: half the diagonal of a stamp of 160, plus the offsets of the bands
EDGE_SHARE = 0.03  # fraction of objects near an edge, which their stamps cross
COMPANION_SHARE = 0.05  # fraction of objects close to another
MEDIAN_REDDENING = 0.03  # mag, E(B-V) at high Galactic latitude, Schlegel et al. 1998

# SDSS's specObjID: plate, fiber, mjd, run2d from bit 50, 38, 24, 10
FIRST_PLATE, FIBRES, RUN2D = 266, 640, 26


def draw_fields(count: int, random: np.random.Generator) -> pd.DataFrame:
    """`count` fields: run, camcol, field, their great circle, centre in deg, and E(B-V)."""
    block, within = np.divmod(np.arange(count), FIELDS_IN_A_ROW)
    which = block % len(RUNS)
    camcol = 1 + (block // len(RUNS)) % 6
    tier = block // (6 * len(RUNS))
    inclination = random.uniform(-5.0, 60.0, len(RUNS))
    start = random.uniform(120.0, 240.0, len(RUNS))
    field = FIRST_FIELD + tier * FIELDS_IN_A_ROW + within
    nu = (camcol - 3.5) * COLUMN_STEP
    # a degree of mu is shorter away from nu = 0, but all frames are FRAME_STEP rows apart
    mu = start[which] + (field - FIRST_FIELD) * FIELD_STEP / np.cos(np.radians(nu))
    ra, dec = _from_great_circle(mu, nu, inclination[which])
    return pd.DataFrame(
        {
            "run": np.array(RUNS)[which],
            "camcol": camcol,
            "field": field,
            "inclination": inclination[which],
            "mu": mu,
            "nu": nu,
            "field_ra": ra,
            "field_dec": dec,
            "field_angle": _angle_of_scan(mu, nu, inclination[which]),
            "reddening": draw_reddening(count, random),
        }
    )


def draw_reddening(count: int, random: np.random.Generator) -> Array:
    """E(B-V) of the Galaxy, mag, towards `count` fields."""
    return MEDIAN_REDDENING * np.exp(random.normal(0, 0.5, count))


def _from_great_circle(mu: Array, nu: Array, inclination: Array) -> tuple[Array, Array]:
    """Right ascension and declination (deg) of great-circle coordinates (deg)."""
    m, n, i = np.radians(mu - NODE), np.radians(nu), np.radians(inclination)
    x = np.cos(m) * np.cos(n)
    y = np.sin(m) * np.cos(n) * np.cos(i) - np.sin(n) * np.sin(i)
    z = np.sin(m) * np.cos(n) * np.sin(i) + np.sin(n) * np.cos(i)
    return (np.degrees(np.arctan2(y, x)) + NODE) % 360.0, np.degrees(np.arcsin(z))


def _angle_of_scan(mu: Array, nu: Array, inclination: Array) -> Array:
    """Angle in deg of the scan direction, +mu, from east towards north."""
    step = 1e-4
    ra, dec = _from_great_circle(mu, nu, inclination)
    ahead_ra, ahead_dec = _from_great_circle(mu + step, nu, inclination)
    east = ((ahead_ra - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    return np.degrees(np.arctan2(ahead_dec - dec, east))


def field_wcs(field: Mapping[str, float] | pd.Series, band: str) -> WCS:
    """The frame's TAN projection; bands differ by their offset in pixels (CRPIX).

    Columns (x) run along +nu, rows (y) along +mu; the parity is the sky's.
    """
    angle = np.radians(field["field_angle"])
    scale = PIXEL_SCALE / 3600
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [field["field_ra"], field["field_dec"]]
    wcs.wcs.crpix = (
        np.array([FRAME_SHAPE[1] / 2 + 1, FRAME_SHAPE[0] // 2 + 1]) + CAMERA[band].offset
    )
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    wcs.wcs.cd = scale * np.column_stack([across, along])
    wcs.wcs.radesys = "ICRS"
    return wcs


def on_frame(objects: pd.DataFrame, reference: WCS, wcs: WCS) -> Array:
    """FITS pixels (n, 2: column, row) in the frame of `wcs`, from x and y in `reference`'s."""
    sky = reference.wcs_pix2world(objects[["x", "y"]].to_numpy(), 1)
    return wcs.wcs_world2pix(sky, 1)


def place(count: int, fields: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Positions of `count` objects: `field_index`, `x`, `y` (r frame, FITS pixels), ra, dec, obj.

    Objects lie in the cells of a jittered grid, so that a crowded field does not become one blend;
    some are then moved close to another object, some to an edge.
    """
    index = np.arange(count) * len(fields) // count
    order = pd.Series(index).groupby(index).cumcount().to_numpy()
    x, y = _jittered_grid(index, order, random)
    x, y = _to_edges(*_to_companions(x, y, order, random), random)
    placed = pd.DataFrame({"field_index": index, "obj": order + 1, "x": x, "y": y})
    return pd.concat([placed, _sky_positions(placed, fields)], axis=1)


def _jittered_grid(index: Array, order: Array, random: np.random.Generator) -> tuple[Array, Array]:
    height, width = (side - 2 * MARGIN for side in FRAME_SHAPE)
    most = int(order.max()) + 1
    rows = max(int(np.ceil(np.sqrt(most * height / width))), 1)
    columns = int(np.ceil(most / rows))
    # a random order of the cells in each field
    cells = random.random((int(index.max()) + 1, rows * columns)).argsort(axis=1)[index, order]
    row, column = np.divmod(cells, columns)
    jitter = random.uniform(-0.35, 0.35, (2, len(index)))
    x = MARGIN + (column + 0.5 + jitter[0]) * width / columns
    return x, MARGIN + (row + 0.5 + jitter[1]) * height / rows


def _to_companions(
    x: Array, y: Array, order: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Move some objects to 5 to 30 arcsec from the object before them in their field."""
    moved = (random.uniform(0, 1, len(x)) < COMPANION_SHARE) & (order > 0)
    distance = random.uniform(5.0, 30.0, len(x)) / PIXEL_SCALE
    angle = random.uniform(0, 2 * np.pi, len(x))
    beside = np.where(moved, np.arange(len(x)) - 1, np.arange(len(x)))
    height, width = FRAME_SHAPE
    moved_x = x[beside] + moved * distance * np.cos(angle)
    moved_y = y[beside] + moved * distance * np.sin(angle)
    return np.clip(moved_x, 12, width - 12), np.clip(moved_y, 12, height - 12)


def _to_edges(x: Array, y: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Move some objects to within 12 to 75 pixels of an edge."""
    moved = random.uniform(0, 1, len(x)) < EDGE_SHARE
    depth = random.uniform(12, 75, len(x))
    side = random.integers(0, 4, len(x))
    height, width = FRAME_SHAPE
    x = np.where(moved & (side == 0), depth, np.where(moved & (side == 1), width - depth, x))
    y = np.where(moved & (side == 2), depth, np.where(moved & (side == 3), height - depth, y))
    return x, y


def _sky_positions(placed: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    pixels, sky = placed[["x", "y"]].to_numpy(), np.empty((len(placed), 2))
    geometry = fields[["field_ra", "field_dec", "field_angle"]].to_dict("records")
    for index, rows in placed.groupby("field_index").indices.items():
        sky[rows] = field_wcs(geometry[index], "r").wcs_pix2world(pixels[rows], 1)
    return pd.DataFrame(sky, columns=["ra", "dec"])


def object_identifiers(run: Array, camcol: Array, field: Array, obj: Array) -> np.ndarray:
    """SDSS's objID: version, rerun, run, camcol, field, object from bit 59, 48, 32, 29, 16, 0."""
    run, camcol, field, obj = (
        np.asarray(part, dtype=np.int64) for part in (run, camcol, field, obj)
    )
    head = np.int64(SKY_VERSION << 59 | RERUN << 48)
    return head | run << 32 | camcol << 29 | field << 16 | obj


def spectrum_identifiers(count: int) -> np.ndarray:
    """SDSS's specObjID of `count` spectra: consecutive plates of 640 fibres, below 2^63."""
    plate, fibre = np.divmod(np.arange(count, dtype=np.int64), FIBRES)
    plate += FIRST_PLATE
    mjd = 51600 + plate - FIRST_PLATE
    return plate << 50 | (fibre + 1) << 38 | (mjd - 50000) << 24 | np.int64(RUN2D) << 10
