"""Cutting stamps from frames, field by field, so that each frame is read once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from mgsflow.config import Stamps
from mgsflow.sample.frames import Frame, FrameName, MissingFrameError
from mgsflow.sample.resample import Grid, Placement, centre_is_inside, is_inside, place, resample
from mgsflow.sample.shards import Layout
from mgsflow.sky.fields import FIELD_COLUMNS


class Cut(NamedTuple):
    """A galaxy's stamp in the layout's dtype (bands, size, size), or why there is none.

    `padded`: part of the stamp lies beyond the image and was filled.
    """

    objid: int
    stamp: np.ndarray | None
    reason: str = ""
    padded: bool = False


class Provider(Protocol):
    """Where stamps come from: one Cut for each row of `galaxies`, in an order of its own."""

    layout: Layout

    def cut(self, galaxies: pd.DataFrame) -> Iterator[Cut]: ...


class FrameSource(Protocol):
    def read(self, name: FrameName) -> Frame: ...


class FrameCutter:
    """Stamps out of SAS frames, every band resampled once onto the galaxy's own grid."""

    def __init__(self, source: FrameSource, stamps: Stamps) -> None:
        self._source = source
        self._pad = stamps.edge == "pad"
        self._grid = Grid(stamps.size, stamps.pixel_scale)
        self.layout = Layout(
            "frames", tuple(stamps.bands), stamps.size, stamps.pixel_scale, "float16"
        )

    def cut(self, galaxies: pd.DataFrame) -> Iterator[Cut]:
        """Cut all galaxies (columns objid, ra, dec, run, camcol, field), field by field."""
        for key, members in galaxies.groupby(FIELD_COLUMNS, sort=True):
            run, camcol, field = (int(part) for part in key)
            names = [FrameName(run, camcol, field, band) for band in self.layout.bands]
            yield from self._cut_field(members, names)

    def _cut_field(self, galaxies: pd.DataFrame, names: list[FrameName]) -> Iterator[Cut]:
        objid = galaxies["objid"].to_numpy(np.int64)
        try:
            frames = [self._source.read(name) for name in names]
        except MissingFrameError as missing:
            band = str(missing).split()[1]
            yield from (
                Cut(int(one), None, f"its field has no frame in band {band}") for one in objid
            )
            return
        ra, dec = galaxies["ra"].to_numpy(float), galaxies["dec"].to_numpy(float)
        placements = [place(frame.wcs, ra, dec, self._grid) for frame in frames]
        for one, places in zip(objid, zip(*placements, strict=True), strict=True):
            yield self._cut_galaxy(int(one), frames, places)

    def _cut_galaxy(self, objid: int, frames: list[Frame], places: tuple[Placement, ...]) -> Cut:
        pairs = list(zip(frames, places, strict=True))
        if not all(centre_is_inside(p, self._grid, f.pixels.shape) for f, p in pairs):
            return Cut(objid, None, "its position is outside the frames of its field")
        whole = all(is_inside(p, self._grid, f.pixels.shape) for f, p in pairs)
        if not whole and not self._pad:
            return Cut(objid, None, "its stamp crosses the edge of its field")
        stamp = np.stack([resample(f.pixels, p, self._grid) for f, p in pairs])
        return finite_cut(objid, stamp, padded=not whole)


def finite_cut(objid: int, stamp: np.ndarray, padded: bool = False) -> Cut:
    """A Cut of float nanomaggies, stored as float16, or refused if a pixel is no number there."""
    with np.errstate(over="ignore"):
        half = stamp.astype(np.float16)
    if not np.isfinite(half).all():
        return Cut(objid, None, "its stamp has pixels that are no number or beyond float16")
    return Cut(objid, half, padded=padded)
