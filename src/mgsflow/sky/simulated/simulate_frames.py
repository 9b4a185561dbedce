"""The stage `simulate-frames`: a simulated sky's corrected frames, in SAS's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Simulated, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.progress import say, track
from mgsflow.core.seeds import generator
from mgsflow.core.tables import read_table
from mgsflow.sky.fields import FIELD_COLUMNS, frame_path, shard_of_fields
from mgsflow.sky.simulated.background import observe
from mgsflow.sky.simulated.camera import CAMERA, FRAME_SHAPE, LARGEST_OFFSET, PIXEL_SCALE
from mgsflow.sky.simulated.drawing import draw_field
from mgsflow.sky.simulated.frame_file import SKY_GRID, frame_file, sky_axes, sky_on_pixels
from mgsflow.sky.simulated.placement import FRAME_STEP
from mgsflow.sky.simulated.relations import Array
from mgsflow.sky.simulated.scene import FieldName, Sky

EDGE_MARGIN = 15  # pixels, for the resampling, and so that rounding costs no stamp a frame


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

    With `stamps.edge` `mosaic` the neighbouring fields that stamps of the shard extend into are
    rendered too. `out` becomes a folder with SAS's layout: 301/RUN/CAMCOL/frame-*.fits.bz2,
    sky-subtracted nanomaggies. Each frame shows every object of the simulated sky whose light
    reaches it, selected or not.
    """
    if not 0 <= shard < stamps.shards:
        raise UserError(f"--shard {shard}: there are {stamps.shards} shards, counted from 0.")
    key = ["objid", *FIELD_COLUMNS]
    galaxies = read_table(selected, key)
    galaxies = galaxies[shard_of_fields(galaxies, stamps.shards) == shard]
    objects = read_table(truth)
    placed = galaxies.merge(objects[[*key, "y"]], on=key)
    _check_known(galaxies, placed, truth)
    sky = Sky(objects, simulated, seed)
    names = _fields_needed(placed, sky, stamps)
    with atomic_path(out) as folder:
        folder.mkdir()
        for name in track(names, f"simulate-frames, shard {shard}: fields"):
            write_field(folder, sky, name, stamps.bands)
    own = len(galaxies[FIELD_COLUMNS].drop_duplicates())
    say(
        f"simulate-frames, shard {shard}: {own} fields and {len(names) - own} beside them, in "
        f"{', '.join(stamps.bands)}"
    )


def _check_known(galaxies: pd.DataFrame, placed: pd.DataFrame, truth: Path) -> None:
    if len(placed) != len(galaxies):
        raise UserError(
            f"{truth}: holds {len(placed)} of the {len(galaxies)} selected galaxies of this "
            "shard. The selected galaxies do not belong to this simulated sky: run "
            "simulate-catalogue and select again."
        )


def _fields_needed(galaxies: pd.DataFrame, sky: Sky, stamps: Stamps) -> list[FieldName]:
    """The fields of `galaxies` and, for mosaics, the fields beyond an edge that a stamp crosses."""
    needed = _names(galaxies)
    if stamps.edge == "mosaic":
        # a stamp is north up, but frames are not: it reaches at most as far as half its diagonal
        half = stamps.size * stamps.pixel_scale / PIXEL_SCALE / np.sqrt(2)
        reach = half + LARGEST_OFFSET + EDGE_MARGIN
        before = galaxies[galaxies["y"] < reach]
        after = galaxies[galaxies["y"] > FRAME_SHAPE[0] - reach]
        for crossing, step in ((before, -1), (after, 1)):
            beyond = _names(crossing.assign(field=crossing["field"] + step))
            needed |= {name for name in beyond if name in sky}
    return sorted(needed)


def _names(galaxies: pd.DataFrame) -> set[FieldName]:
    fields = galaxies[FIELD_COLUMNS].drop_duplicates().to_numpy()
    return {(int(run), int(camcol), int(field)) for run, camcol, field in fields}


def write_field(folder: Path, sky: Sky, name: FieldName, bands: list[str]) -> None:
    """Write a field's frames to `folder`. They do not depend on the shard that renders them."""
    for band, light in _light(sky, name, bands).items():
        path = frame_path(folder, *name, band)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_frame(sky, name, band, light))


def frame_bytes(sky: Sky, name: FieldName, band: str) -> bytes:
    """The file of one frame, as written by `simulate_frames`.

    Raises KeyError if the sky has no such field.
    """
    return _frame(sky, name, band, noiseless_frame(sky, name, band))


def noiseless_frame(sky: Sky, name: FieldName, band: str) -> np.ndarray:
    """True nanomaggies of a frame's pixels, shape (1489, 2048), float32, with its seeing.

    In the projection `sky.wcs(name, band)`, with all sources of light but without sky and noise.
    """
    return _light(sky, name, [band])[band]


def _light(sky: Sky, name: FieldName, bands: list[str]) -> dict[str, np.ndarray]:
    views = {band: sky.view(name, band) for band in bands}
    return draw_field(*sky.sources(name), sky.wcs(name, "r"), views)


def _frame(sky: Sky, name: FieldName, band: str, light: np.ndarray) -> bytes:
    return frame_file(sky.field(name), band, *observed(sky, name, band, light))


def observed(
    sky: Sky, name: FieldName, band: str, light: np.ndarray
) -> tuple[np.ndarray, Array, np.ndarray]:
    """A frame's pixels with sky and noise, its calibration and its sky: inputs of `frame_file`.

    `light` has the true nanomaggies of its pixels.
    """
    random = generator(sky.seed, "simulate-frames", *name, band)
    calibration = _calibration(band, random)
    background = _background(band, random)
    counts = sky_on_pixels(background, *sky_axes())
    image = observe(light, calibration, counts, band, noise(sky.seed, name, band))
    return image, calibration, background


def noise(seed: int, name: FieldName, band: str) -> np.ndarray:
    """Standard normal deviates of a frame's pixels, shape (1489, 2048), float32.

    The rows that a frame shares with the next contain the same photons, so their deviates are those
    of the next frame.
    """
    run, camcol, field = name
    height, width = FRAME_SHAPE
    parts = (field, FRAME_STEP), (field + 1, height - FRAME_STEP)
    return np.concatenate(
        [
            generator(seed, "simulate-frames", run, camcol, one, band, "noise").standard_normal(
                (rows, width), dtype=np.float32
            )
            for one, rows in parts
        ]
    )


def _calibration(band: str, random: np.random.Generator) -> Array:
    """Nanomaggies per count of each column: the band's value times a flat field, within 0.5%."""
    columns = np.linspace(-1, 1, FRAME_SHAPE[1])
    bend = np.polynomial.legendre.legval(columns, [0, *random.normal(0, 0.002, 3)])
    return CAMERA[band].nanomaggies_per_count * (1 + bend)


def _background(band: str, random: np.random.Generator) -> np.ndarray:
    """Counts of the sky on its coarse grid; it varies by 5% between fields, by 1% across one."""
    rows, columns = (np.linspace(-1, 1, side)[:, None] for side in SKY_GRID)
    slope_rows, slope_columns = random.normal(0, 0.005, 2)
    level = CAMERA[band].sky_counts * (1 + 0.05 * np.clip(random.normal(), -3, 3))
    return (level * (1 + slope_rows * rows + slope_columns * columns.T)).astype(np.float32)
