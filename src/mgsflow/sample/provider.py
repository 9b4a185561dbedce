"""Where stamps come from: what all providers of them share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from mgsflow.sample.shards import Layout

_BATCH = 8  # galaxies: so many stamps at most are made again after a job was killed


class Cut(NamedTuple):
    """A galaxy's stamp in the layout's dtype (bands, size, size), or why there is none.

    `masked`: the share of its pixels that no image covers, which are 0.
    """

    objid: int
    stamp: np.ndarray | None
    reason: str = ""
    masked: float = 0.0


class Batch(NamedTuple):
    """Galaxies whose stamps are made in one go, such as those of a field, and their name."""

    name: str
    galaxies: pd.DataFrame


class Provider(Protocol):
    """A source of stamps. `cut` may run in several threads at once."""

    layout: Layout

    def batches(self, galaxies: pd.DataFrame) -> list[Batch]:
        """`galaxies` in batches, an order of the provider's own; the same for any order of rows."""
        ...

    def expect(self, batches: list[Batch]) -> None:
        """These batches will be cut, in this order and no others."""
        ...

    def cut(self, batch: Batch) -> list[Cut]:
        """One Cut for each galaxy of the batch."""
        ...

    def done(self, batch: Batch) -> None:
        """The batch's stamps are safe: what was held for them may go. In the order of batches."""
        ...

    def stop(self) -> None:
        """The work ends early: let no thread wait any longer."""
        ...


def batches_of(galaxies: pd.DataFrame) -> list[Batch]:
    """Galaxies in order of objid, a few at a time: for images that hold one galaxy each."""
    ordered = galaxies.sort_values("objid", ignore_index=True)
    starts = range(0, len(ordered), _BATCH)
    return [Batch(str(start), ordered.iloc[start : start + _BATCH]) for start in starts]


def finite_cut(objid: int, stamp: np.ndarray, masked: float = 0.0) -> Cut:
    """A Cut of float nanomaggies, stored as float16, or refused if a pixel is no number there."""
    with np.errstate(over="ignore"):
        half = stamp.astype(np.float16)
    if not np.isfinite(half).all():
        return Cut(objid, None, "its stamp has pixels that are no number or beyond float16")
    return Cut(objid, half, masked=masked)
