"""Temporary storage of a shard's stamps: on disk batch by batch, so that a killed job continues."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from mgsflow.core.progress import say
from mgsflow.sample.provider import Cut
from mgsflow.sample.shards import Layout


class Spool:
    """Batches of cuts in a folder: pixels in one file, one line per batch in a journal.

    A batch is complete once its line is written; its pixels are on disk before that. On opening,
    complete batches are recovered and anything after them is truncated.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = Path(folder)
        self.layout = layout
        self.done: list[str] = []
        self._cuts: list[Cut] = []  # without their pixels
        self._bytes_of_stamp = int(np.prod(layout.shape)) * np.dtype(layout.dtype).itemsize

    def __enter__(self) -> Spool:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pixels = self._open("pixels")
        self._journal = self._open("journal.jsonl")
        self._recover()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pixels.close()
        self._journal.close()

    def append(self, batch: str, cuts: list[Cut]) -> None:
        """Save a batch; from then on it survives the end of the job by any cause."""
        stamps = [np.ascontiguousarray(cut.stamp) for cut in cuts if cut.stamp is not None]
        for stamp in stamps:
            self.layout.check_stamp(stamp)
        checksum = 0
        for stamp in stamps:
            self._pixels.write(stamp.data)
            checksum = zlib.crc32(stamp.data, checksum)
        _sync(self._pixels)
        line = {
            "batch": batch,
            "checksum": checksum,
            "cuts": [[cut.objid, cut.stamp is not None, cut.reason, cut.masked] for cut in cuts],
        }
        self._journal.write(json.dumps(line).encode() + b"\n")
        _sync(self._journal)
        self._remember(batch, cuts)

    @property
    def cuts(self) -> list[Cut]:
        """All cuts so far, in order, with `stamp` None; for the pixels see `stamps`."""
        return self._cuts

    @property
    def kept(self) -> list[Cut]:
        """The cuts that have a stamp, in the order of `stamps`."""
        return [cut for cut in self._cuts if not cut.reason]

    def stamps(self) -> Iterator[np.ndarray]:
        """The stamps so far, one by one, each (bands, size, size)."""
        with (self.folder / "pixels").open("rb") as stream:
            for _ in self.kept:
                flat = np.frombuffer(stream.read(self._bytes_of_stamp), self.layout.dtype)
                yield flat.reshape(self.layout.shape)

    def _open(self, name: str):  # noqa: ANN202
        path = self.folder / name
        path.touch()
        return path.open("r+b")

    def _remember(self, batch: str, cuts: list[Cut]) -> None:
        self.done.append(batch)
        self._cuts += [cut._replace(stamp=None) for cut in cuts]

    def _recover(self) -> None:
        whole = 0
        for line in self._journal:
            try:
                entry = json.loads(line)
                cuts = [Cut(objid, None, *rest) for objid, _, *rest in entry["cuts"]]
                has_stamp = [bool(cut[1]) for cut in entry["cuts"]]
                name, checksum = entry["batch"], entry["checksum"]
            except (ValueError, KeyError, TypeError):
                break
            length = sum(has_stamp) * self._bytes_of_stamp
            pixels = self._pixels.read(length)
            if not line.endswith(b"\n") or len(pixels) < length or zlib.crc32(pixels) != checksum:
                break
            self._remember(name, cuts)
            whole += len(line)
        self._journal.seek(whole)
        self._journal.truncate()
        self._pixels.seek(len(self.kept) * self._bytes_of_stamp)
        self._pixels.truncate()
        if self.done:
            say(f"{self.folder}: {len(self._cuts)} galaxies were done before and are kept")


def _sync(stream) -> None:  # noqa: ANN001
    stream.flush()
    os.fsync(stream.fileno())
