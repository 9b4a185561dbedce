"""Cutting of stamps from frames, field by field, so that each frame is read once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import pandas as pd

from mgsflow.config import Stamps
from mgsflow.sample.frames import Frame, FrameName, MissingFrameError
from mgsflow.sample.provider import Batch, Cut, finite_cut
from mgsflow.sample.resample import (
    Grid,
    Placement,
    centre_is_inside,
    is_inside,
    place,
    resample,
    rows_beyond,
)
from mgsflow.sample.shards import Layout
from mgsflow.sky.fields import FIELD_COLUMNS

Field = tuple[int, int, int]  # run, camcol, field


class FrameSource(Protocol):
    def read(self, name: FrameName) -> Frame: ...

    def drop(self, name: FrameName) -> None: ...

    def stop(self) -> None: ...


class FrameCutter:
    """Cuts stamps from frames; each band is resampled once onto the galaxy's own grid.

    A stamp that extends beyond the first or last row of its field continues in the neighbouring
    field of the same run and camera column, whose frames overlap by 128 rows (`stamps.edge:
    mosaic`). Beyond the sides lies the strip of another run, with different seeing: that part stays
    masked. `working` is held while stamps are cut, so that more fields than processors can be in
    progress.
    """

    def __init__(
        self,
        source: FrameSource,
        stamps: Stamps,
        working: AbstractContextManager = nullcontext(),  # noqa: B008
    ) -> None:
        self._source = source
        self._working = working
        self._mosaic = stamps.edge == "mosaic"
        self._grid = Grid(stamps.size, stamps.pixel_scale)
        self._frames = _FramesInUse(source, tuple(stamps.bands))
        self.layout = Layout(
            "frames", tuple(stamps.bands), stamps.size, stamps.pixel_scale, "float16"
        )

    def batches(self, galaxies: pd.DataFrame) -> list[Batch]:
        """One batch per field; the columns are objid, ra, dec, run, camcol and field."""
        batches = []
        for key, members in galaxies.groupby(FIELD_COLUMNS, sort=True):
            field = tuple(int(part) for part in key)
            batches.append(Batch("-".join(map(str, field)), members.sort_values("objid")))
        return batches

    def expect(self, batches: list[Batch]) -> None:
        """Announce the batches: a frame is kept until the last batch that may need it is done."""
        self._frames.expect([_field_of(batch) for batch in batches], self._mosaic)

    def cut(self, batch: Batch) -> list[Cut]:
        """The stamps of a field's galaxies."""
        field = _field_of(batch)
        objid = batch.galaxies["objid"].to_numpy(np.int64)
        try:
            frames = [self._frames.get(FrameName(*field, band)) for band in self.layout.bands]
        except MissingFrameError as missing:
            reason = f"its field has no frame in band {missing.band}"
            return [Cut(int(one), None, reason) for one in objid]
        ra, dec = (batch.galaxies[name].to_numpy(float) for name in ("ra", "dec"))
        with self._working:
            places = list(zip(*(place(f.wcs, ra, dec, self._grid) for f in frames), strict=True))
        return [
            self._cut_galaxy(int(objid[i]), (ra[i], dec[i]), field, frames, places[i])
            for i in range(len(objid))
        ]

    def done(self, batch: Batch) -> None:
        """Drop the frames that no further field needs: this field's stamps are saved."""
        self._frames.release(_field_of(batch))

    def stop(self) -> None:
        self._source.stop()

    def _cut_galaxy(
        self,
        objid: int,
        position: tuple[float, float],
        field: Field,
        frames: list[Frame],
        places: tuple[Placement, ...],
    ) -> Cut:
        pairs = list(zip(frames, places, strict=True))
        if not all(centre_is_inside(p, self._grid, f.pixels.shape) for f, p in pairs):
            return Cut(objid, None, "its position is outside the frames of its field")
        views = [
            self._views(frame, placement, field, band, position)
            for (frame, placement), band in zip(pairs, self.layout.bands, strict=True)
        ]
        with self._working:
            stamps, masked = zip(*(resample(view, self._grid) for view in views), strict=True)
        return finite_cut(objid, np.stack(stamps), float(np.any(masked, axis=0).mean()))

    def _views(
        self,
        frame: Frame,
        placement: Placement,
        field: Field,
        band: str,
        position: tuple[float, float],
    ) -> list[tuple[np.ndarray, Placement]]:
        """The frames that contribute to a stamp, with that of its own field first."""
        views = [(frame.pixels, placement)]
        if not self._mosaic or is_inside(placement, self._grid, frame.pixels.shape):
            return views
        run, camcol, number = field
        for step in rows_beyond(placement, self._grid, frame.pixels.shape):
            try:
                beside = self._frames.get(FrameName(run, camcol, number + step, band))
            except MissingFrameError:
                continue  # the scan begins or ends here
            ra, dec = (np.array([angle]) for angle in position)
            views.append((beside.pixels, place(beside.wcs, ra, dec, self._grid)[0]))
        return views


class _FramesInUse:
    """Frames that several fields need: each is read once and kept until the last is done."""

    def __init__(self, source: FrameSource, bands: tuple[str, ...]) -> None:
        self._source = source
        self._bands = bands
        self._lock = threading.Lock()
        self._frames: dict[FrameName, Future[Frame]] = {}
        self._users: Counter[Field] = Counter()
        self._steps: tuple[int, ...] = (0,)

    def expect(self, fields: list[Field], mosaic: bool) -> None:
        self._steps = (-1, 0, 1) if mosaic else (0,)
        self._users = Counter(beside for field in fields for beside in self._around(field))

    def get(self, name: FrameName) -> Frame:
        """The frame, read by the first thread that needs it. Raises any error of that reading."""
        with self._lock:
            known = self._frames.get(name)
            future = known or self._frames.setdefault(name, Future())
        if known is None:
            try:
                future.set_result(self._source.read(name))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def release(self, field: Field) -> None:
        for beside in self._around(field):
            self._users[beside] -= 1
            if self._users[beside] <= 0:
                self._drop(beside)

    def _around(self, field: Field) -> list[Field]:
        run, camcol, number = field
        return [(run, camcol, number + step) for step in self._steps]

    def _drop(self, field: Field) -> None:
        for band in self._bands:
            name = FrameName(*field, band)
            with self._lock:
                used = self._frames.pop(name, None)
            if used is not None:
                self._source.drop(name)


def _field_of(batch: Batch) -> Field:
    first = batch.galaxies.iloc[0]
    run, camcol, field = (int(first[name]) for name in FIELD_COLUMNS)
    return run, camcol, field
