"""Stamps from your own image files, one per galaxy, named by its objid."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.config import Catalogue, Stamps
from mgsflow.core.errors import UserError
from mgsflow.sample.image_formats import (
    JPEG_CHANNELS,
    RefusedError,
    UnreadableError,
    crop,
    read_fits,
    read_jpeg,
)
from mgsflow.sample.provider import Batch, Cut, batches_of, finite_cut
from mgsflow.sample.shards import Layout

_SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "fits": (".fits", ".fits.gz", ".fits.bz2")}


class FileStamps:
    """Stamps from `catalogue.stamp_folder`: OBJID.fits or OBJID.jpg, see image_formats.py."""

    def __init__(self, catalogue: Catalogue, stamps: Stamps) -> None:
        self._folder = Path(catalogue.stamp_folder)
        self._format = catalogue.stamp_format
        if not self._folder.is_dir():
            raise UserError(
                f"catalogue.stamp_folder: {self._folder} is not a folder. Name the folder that "
                f"holds the stamps, OBJID{_SUFFIXES[self._format][0]}."
            )
        _check_bands(self._format, stamps)
        dtype = "uint8" if self._format == "jpeg" else "float16"
        self.layout = Layout("files", tuple(stamps.bands), stamps.size, stamps.pixel_scale, dtype)

    def batches(self, galaxies: pd.DataFrame) -> list[Batch]:
        """Galaxies (column objid) in order of objid."""
        return batches_of(galaxies)

    def expect(self, batches: list[Batch]) -> None: ...

    def cut(self, batch: Batch) -> list[Cut]:
        """Read the stamps of a batch."""
        return [self._cut_galaxy(int(objid)) for objid in batch.galaxies["objid"]]

    def done(self, batch: Batch) -> None: ...

    def stop(self) -> None: ...

    def _cut_galaxy(self, objid: int) -> Cut:
        try:
            data = self._path(objid).read_bytes()
            if self._format == "jpeg":
                return Cut(objid, crop(read_jpeg(data, self.layout), self.layout))
            return finite_cut(objid, crop(read_fits(data, self.layout), self.layout))
        except UnreadableError:
            return Cut(objid, None, "its image file cannot be read")
        except RefusedError as refused:
            return Cut(objid, None, str(refused))

    def _path(self, objid: int) -> Path:
        for suffix in _SUFFIXES[self._format]:
            path = self._folder / f"{objid}{suffix}"
            if path.is_file():
                return path
        raise RefusedError("there is no image file of it")


def _check_bands(format: str, stamps: Stamps) -> None:
    strange = [band for band in stamps.bands if band not in JPEG_CHANNELS]
    if format == "jpeg" and strange:
        raise UserError(
            f"stamps.bands: a JPEG has the channels {', '.join(JPEG_CHANNELS)}, not "
            f"{', '.join(strange)}. Leave these bands out, or give FITS stamps."
        )
