"""Shards of stamps: plain HDF5 in contiguous layout, read through a memory map.

Chunked HDF5 reads a few hundred stamps per second; the same data are read at the speed of memory
through a map. A virtual dataset over all shards could not be mapped, and would read a missing shard
as zeros.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.sample.stretch import Stretch

ORIENTATION = "row 0 south, column 0 east: north up and east left with the origin below"
NANOMAGGIES = "nanomaggy"
COUNTS = "8-bit colour map"


@dataclass(frozen=True)
class Layout:
    """Properties that all stamps of a run share. `dtype`: float16 (nanomaggies) or uint8 (JPEG)."""

    provider: str
    bands: tuple[str, ...]
    size: int
    pixel_scale: float
    dtype: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one stamp: (bands, size, size)."""
        return (len(self.bands), self.size, self.size)

    @property
    def unit(self) -> str:
        return COUNTS if self.dtype == "uint8" else NANOMAGGIES

    def check_stamp(self, stamp: np.ndarray) -> None:
        """Raise ValueError unless `stamp` has this shape and dtype."""
        if stamp.shape != self.shape or str(stamp.dtype) != self.dtype:
            raise ValueError(f"a stamp of {stamp.shape} {stamp.dtype}, not of {self}")

    @classmethod
    def of(cls, file: h5py.File) -> Layout:
        stamps, attributes = file["stamps"], file.attrs
        return cls(
            provider=str(attributes["provider"]),
            bands=tuple(str(band) for band in attributes["bands"]),
            size=int(stamps.shape[-1]),
            pixel_scale=float(attributes["pixel_scale"]),
            dtype=str(stamps.dtype),
        )


@contextmanager
def create_shard(path: Path, layout: Layout, count: int) -> Iterator[ShardWriter]:
    """Write a shard of `count` stamps, added one by one; the file gets its name when complete."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        writer = ShardWriter(file, layout, count)
        yield writer
        writer.finish()


class ShardWriter:
    """The writer of `create_shard`: takes one stamp at a time, with constant memory."""

    def __init__(self, file: h5py.File, layout: Layout, count: int) -> None:
        self.layout = layout
        self._file = file
        self._count = count
        self._stamps = file.create_dataset("stamps", (count, *layout.shape), layout.dtype)
        self._objid: list[int] = []
        self._masked: list[float] = []
        self._digest = hashlib.sha256()

    def __len__(self) -> int:
        return len(self._objid)

    def add(self, objid: int, stamp: np.ndarray, masked: float = 0.0) -> None:
        """Append a stamp, shape (bands, size, size), in the layout's dtype.

        `masked` is the fraction of its pixels that no image covers.
        """
        self.layout.check_stamp(stamp)
        stamp = np.ascontiguousarray(stamp)
        self._stamps[len(self)] = stamp
        self._digest.update(stamp.data)
        self._objid.append(int(objid))
        self._masked.append(masked)

    def finish(self) -> None:
        """Write the stamps' description. Raises ValueError unless all were added."""
        if len(self) != self._count:
            raise ValueError(f"{len(self)} stamps were added to a shard of {self._count}")
        file = self._file
        file["objid"] = np.array(self._objid, dtype=np.int64)
        file["masked"] = np.array(self._masked, dtype=np.float32)
        file.attrs["provider"] = self.layout.provider
        file.attrs["bands"] = list(self.layout.bands)
        file.attrs["pixel_scale"] = self.layout.pixel_scale
        file.attrs["unit"] = self.layout.unit
        file.attrs["orientation"] = ORIENTATION
        file.attrs["stamps_sha256"] = self._digest.hexdigest()


class ShardReader:
    """One shard: `layout`, `objid` and `masked` (n,), and `stamps`, a map (n, bands, size, size).

    Raises UserError if the file is absent, is not a shard, or is truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: no such shard. Run the stage stamps for it first.")
        try:
            with h5py.File(self.path, "r") as file:
                self.layout = Layout.of(file)
                self.objid = file["objid"][:].astype(np.int64, casting="safe")
                self.masked = file["masked"][:]
                self.digest = str(file.attrs["stamps_sha256"])
                self._dtype = file["stamps"].dtype
                self._shape = file["stamps"].shape
                self._offset = file["stamps"].id.get_offset()
        except (OSError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: not a shard of stamps ({error}). Remove it and rerun the stage stamps."
            ) from None
        self.stamps = self._map()

    def _map(self) -> np.ndarray:
        if self._shape[0] == 0:
            return np.empty(self._shape, self._dtype)
        if self._offset is None:
            raise UserError(
                f"{self.path}: its stamps are not in contiguous layout and cannot be mapped. "
                "Remove it and rerun the stage stamps."
            )
        return np.memmap(self.path, self._dtype, "r", self._offset, self._shape)

    def __len__(self) -> int:
        return len(self.objid)


def shard_number(path: Path) -> int:
    """The number in a shard's name, shard-NNN.h5."""
    match = re.fullmatch(r"shard-(\d+)\.h5", Path(path).name)
    if match is None:
        raise UserError(f"{path}: not a shard's name; expected shard-NNN.h5, such as shard-000.h5.")
    return int(match[1])


def open_shards(paths: Iterable[Path]) -> dict[int, ShardReader]:
    """The shards by number. Raises UserError if their layouts differ."""
    shards = {shard_number(path): ShardReader(path) for path in sorted(map(Path, paths))}
    layouts = {shard.layout: shard.path for shard in shards.values()}
    if len(layouts) > 1:
        (one, first), (other, second) = list(layouts.items())[:2]
        raise UserError(
            f"{first} and {second} hold different stamps ({one}; {other}). Providers, bands and "
            "sizes are never mixed in a run: remove the shards of other settings and rerun."
        )
    return shards


class StampSet:
    """The stamps of `index` (columns objid, shard, row), in its order, from all shards."""

    def __init__(
        self, shards: Iterable[Path], index: pd.DataFrame, stretch: Stretch | None = None
    ) -> None:
        self._shards = open_shards(shards)
        self.objid = index["objid"].to_numpy(np.int64)
        self._shard = index["shard"].to_numpy(np.int64)
        self._row = index["row"].to_numpy(np.int64)
        self.stretch = stretch
        absent = sorted(set(self._shard.tolist()) - set(self._shards))
        if absent:
            raise UserError(
                f"The index of stamps names shard {absent[0]}, which was not given. Give all "
                "shards, or rerun the stage index-stamps."
            )
        if not self._shards:
            raise UserError("There are no shards of stamps. Run the stage stamps first.")
        self.layout = next(iter(self._shards.values())).layout

    def __len__(self) -> int:
        return len(self.objid)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each shard's pixels, as recorded by its writer, by the shard's number."""
        return {str(number): shard.digest for number, shard in self._shards.items()}

    def raw(self, rows: np.ndarray) -> np.ndarray:
        """Stored pixels of the stamps at `rows` of the index: (n, bands, size, size)."""
        rows = np.asarray(rows, dtype=np.int64)
        pixels = np.empty((len(rows), *self.layout.shape), self.layout.dtype)
        shard, row = self._shard[rows], self._row[rows]
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            pixels[here] = self._shards[int(number)].stamps[row[here]]
        return pixels

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Stretched pixels, float32, of the stamps at `rows`: (n, bands, size, size)."""
        if self.stretch is None:
            raise ValueError("a StampSet without a stretch has raw pixels only")
        return self.stretch(self.raw(rows))
