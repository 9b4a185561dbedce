"""Sources of stamps: the interface that all providers share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from mgsflow.sample.shards import Layout

_BATCH = 8  # galaxies: maximum number of stamps that are repeated after a job was killed


class Cut(NamedTuple):
    """A galaxy's stamp (bands, size, size) in the layout's dtype, or the reason for its absence.

    `masked`: the fraction of its pixels that no image covers; these are 0.
    """

    objid: int
    stamp: np.ndarray | None
    reason: str = ""
    masked: float = 0.0


class Batch(NamedTuple):
    """Galaxies whose stamps are made together, such as those of a field, and the batch's name."""

    name: str
    galaxies: pd.DataFrame


class Provider(Protocol):
    """A source of stamps. `cut` may run in several threads at once."""

    layout: Layout

    def batches(self, galaxies: pd.DataFrame) -> list[Batch]:
        """Divide `galaxies` into batches, in an order that does not depend on that of the rows."""
        ...

    def expect(self, batches: list[Batch]) -> None:
        """Announce that exactly these batches will be cut, in this order."""
        ...

    def cut(self, batch: Batch) -> list[Cut]:
        """One Cut for each galaxy of the batch."""
        ...

    def done(self, batch: Batch) -> None:
        """Release what was held for a batch, whose stamps are saved. Called in order of batches."""
        ...

    def stop(self) -> None:
        """End the work early: stop all waiting."""
        ...


def batches_of(galaxies: pd.DataFrame) -> list[Batch]:
    """Small batches of galaxies in order of objid, for images that hold one galaxy each."""
    ordered = galaxies.sort_values("objid", ignore_index=True)
    starts = range(0, len(ordered), _BATCH)
    return [Batch(str(start), ordered.iloc[start : start + _BATCH]) for start in starts]


def finite_cut(objid: int, stamp: np.ndarray, masked: float = 0.0) -> Cut:
    """A Cut of nanomaggies as float16, or one without a stamp if a pixel is not finite there."""
    with np.errstate(over="ignore"):
        half = stamp.astype(np.float16)
    if not np.isfinite(half).all():
        return Cut(objid, None, "its stamp has pixels that are no number or beyond float16")
    return Cut(objid, half, masked=masked)
