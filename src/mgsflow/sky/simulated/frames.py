"""The stage `simulate-frames`: a simulated sky's corrected frames, as SAS keeps them."""

from __future__ import annotations

import bz2
import io
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from mgsflow.config import Simulated, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.progress import say, track
from mgsflow.core.seeds import generator
from mgsflow.core.tables import read_table
from mgsflow.sky.fields import FIELD_COLUMNS, frame_path, shard_of_fields
from mgsflow.sky.simulated.camera import CAMERA, FRAME_SHAPE
from mgsflow.sky.simulated.contaminants import POINT_SOURCES
from mgsflow.sky.simulated.images import background_objects, draw_field, observe
from mgsflow.sky.simulated.placement import NODE, RERUN, field_wcs
from mgsflow.sky.simulated.relations import Array

SKY_GRID = (192, 256)  # of a frame's sky image, in HDU 2
SEEING_SCATTER = 0.06  # of a field's FWHM, relative


def simulate_frames(
    *,
    selected: Path,
    truth: Path,
    shard: int,
    stamps: Stamps,
    simulated: Simulated,
    seed: int,
    out: Path,
) -> None:
    """Render the frames of one shard's fields, in every band of the stamps.

    `out` becomes a folder laid out like SAS: 301/RUN/CAMCOL/frame-*.fits.bz2, sky-subtracted
    nanomaggies. Each frame holds every object of the simulated sky, selected or not.
    """
    if not 0 <= shard < stamps.shards:
        raise UserError(f"--shard {shard}: there are {stamps.shards} shards, from 0 on.")
    wanted = _fields_of_shard(read_table(selected, FIELD_COLUMNS), stamps.shards, shard)
    objects = read_table(truth)
    objects = objects.merge(wanted, on=FIELD_COLUMNS)
    _check_fields(wanted, objects, truth)
    groups = list(objects.groupby(FIELD_COLUMNS))
    with atomic_path(out) as folder:
        folder.mkdir()
        for _, field_objects in track(groups, f"simulate-frames, shard {shard}: fields"):
            write_field(folder, field_objects, stamps.bands, simulated, seed)
    say(f"simulate-frames, shard {shard}: {len(groups)} fields in {', '.join(stamps.bands)}")


def _fields_of_shard(selected: pd.DataFrame, shards: int, shard: int) -> pd.DataFrame:
    chosen = selected[shard_of_fields(selected, shards) == shard]
    return chosen.drop_duplicates().sort_values(FIELD_COLUMNS, ignore_index=True)


def _check_fields(wanted: pd.DataFrame, objects: pd.DataFrame, truth: Path) -> None:
    found = len(objects[FIELD_COLUMNS].drop_duplicates())
    if found != len(wanted):
        raise UserError(
            f"{truth}: holds {found} of the {len(wanted)} selected fields of this shard. The "
            "selected galaxies are not of this simulated sky: run simulate-catalogue and select "
            "again."
        )


def write_field(
    folder: Path, objects: pd.DataFrame, bands: list[str], simulated: Simulated, seed: int
) -> None:
    """Write a field's frames below `folder`. A field looks the same whichever shard renders it."""
    field = objects.iloc[0]
    name = [int(field[column]) for column in FIELD_COLUMNS]
    random = generator(seed, "simulate-frames", *name)
    fwhm = simulated.psf_fwhm * (1 + SEEING_SCATTER * np.clip(random.normal(), -2, 2))
    is_point = objects["kind"].isin(POINT_SOURCES)
    stars, faint = background_objects(random)
    points = pd.concat([objects[is_point], stars], ignore_index=True)
    galaxies = pd.concat([objects[~is_point], faint], ignore_index=True)
    reference = field_wcs(field, "r")
    for band in bands:
        noise = generator(seed, "simulate-frames", *name, band)
        frame = _frame(field, galaxies, points, reference, band, fwhm, noise)
        _write(frame_path(folder, *name, band), frame)


def _frame(
    field: pd.Series,
    galaxies: pd.DataFrame,
    points: pd.DataFrame,
    reference: WCS,
    band: str,
    fwhm: float,
    random: np.random.Generator,
) -> fits.HDUList:
    wcs = field_wcs(field, band)
    placed = [_on_frame(objects, reference, wcs) for objects in (galaxies, points)]
    flux = draw_field(*placed, wcs, band, fwhm * CAMERA[band].seeing)
    calibration = _calibration(band, random)
    sky = _sky(band, random)
    image = observe(flux, calibration, sky_on_pixels(sky, *_sky_axes()), band, random)
    return fits.HDUList(
        [
            fits.PrimaryHDU(image, _header(field, band, wcs)),
            fits.ImageHDU(calibration.astype(np.float32)),
            _sky_table(sky),
            _astrometry_table(field, band),
        ]
    )


def _on_frame(objects: pd.DataFrame, reference: WCS, wcs: WCS) -> pd.DataFrame:
    """The objects with `column` and `row` in the frame of `wcs`, from x and y in the r frame."""
    sky = reference.wcs_pix2world(objects[["x", "y"]].to_numpy(), 1)
    column, row = wcs.wcs_world2pix(sky, 1).T
    return objects.assign(column=column, row=row)


def _calibration(band: str, random: np.random.Generator) -> Array:
    """Nanomaggies a count of each column: the band's, times a flat field good to half a percent."""
    columns = np.linspace(-1, 1, FRAME_SHAPE[1])
    bend = np.polynomial.legendre.legval(columns, [0, *random.normal(0, 0.002, 3)])
    return CAMERA[band].nanomaggies_per_count * (1 + bend)


def _sky(band: str, random: np.random.Generator) -> np.ndarray:
    """Counts of the sky on its coarse grid: the band's level, 5% from field to field, 1% across."""
    rows, columns = (np.linspace(-1, 1, side)[:, None] for side in SKY_GRID)
    slope_rows, slope_columns = random.normal(0, 0.005, 2)
    level = CAMERA[band].sky_counts * (1 + 0.05 * np.clip(random.normal(), -3, 3))
    return (level * (1 + slope_rows * rows + slope_columns * columns.T)).astype(np.float32)


def _sky_axes() -> tuple[Array, Array]:
    """Where each column and row of a frame lies on the sky's grid, as in the real frames."""
    rows, columns = FRAME_SHAPE
    return np.arange(columns) / 8 - 0.4375, np.arange(rows) / 8 + 0.5625


def sky_on_pixels(sky: np.ndarray, columns: Array, rows: Array) -> np.ndarray:
    """A frame's sky in counts, from HDU 2's ALLSKY, XINTERP and YINTERP: shape (1489, 2048)."""
    return (_linear(rows, len(sky)) @ sky @ _linear(columns, sky.shape[1]).T).astype(np.float32)


def _linear(positions: Array, nodes: int) -> np.ndarray:
    """The matrix (positions, nodes) of linear interpolation; the ends hold beyond."""
    return np.stack([np.interp(positions, np.arange(nodes), one) for one in np.eye(nodes)], axis=1)


def _header(field: pd.Series, band: str, wcs: WCS) -> fits.Header:
    header = fits.Header()
    header["ORIGIN"] = ("mgsflow", "A simulated sky, not SDSS's")
    header["TELESCOP"] = "2.5m"
    header["RUN"] = (int(field["run"]), "Run number")
    header["FRAME"] = (int(field["field"]), "Frame sequence number within the run")
    header["FIELD"] = (int(field["field"]), "Field number within the run")
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
    """The cards of the projection, as SDSS writes them (astropy would write PC and CDELT)."""
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
    columns, rows = _sky_axes()
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
    column, row = np.array([FRAME_SHAPE[1] / 2, FRAME_SHAPE[0] // 2]) + CAMERA[band].offset
    values = {
        "NODE": NODE,
        "INCL": field["inclination"],
        "A": field["mu"] - row * scale,
        "B": scale,
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


def _write(path: Path, frame: fits.HDUList) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    frame.writeto(buffer)
    path.write_bytes(bz2.compress(buffer.getvalue()))
