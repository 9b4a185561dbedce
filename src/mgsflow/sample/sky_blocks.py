"""Blocks of sky, for sets that share no pixel and little large-scale structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table

BY_GALAXY, BY_SKY = "galaxy", "sky"  # units of a split, the values of the setting splits.by
_BAND = 20  # bits of a block's number for the cell within its band


def sky_blocks(ra: np.ndarray, dec: np.ndarray, side: float) -> np.ndarray:
    """The number of the block of each position (degrees): int64, shape (n,).

    Bands of declination, at most `side` degrees high, are divided into equal cells of right
    ascension that are as nearly square as possible. All blocks except those at the poles have
    nearly the same area.
    """
    bands = max(1, int(np.ceil(180 / side)))
    height = 180 / bands
    band = np.clip(np.floor((dec + 90) / height), 0, bands - 1)
    across = 360 * np.cos(np.radians(-90 + (band + 0.5) * height))
    cells = np.maximum(1, np.round(across / height))
    cell = np.minimum(np.floor((ra % 360) / 360 * cells), cells - 1)
    return (band.astype(np.int64) << _BAND) | cell.astype(np.int64)


def why_no_blocks(catalogue: pd.DataFrame) -> str:
    """The reason why a catalogue's galaxies cannot be assigned to blocks; empty if they can."""
    absent = [name for name in ("ra", "dec") if name not in catalogue]
    if absent:
        return f"the catalogue has no {', '.join(absent)}"
    placed = np.isfinite(catalogue[["ra", "dec"]].to_numpy(np.float64)).all(axis=1)
    return "" if placed.all() else f"{(~placed).sum()} galaxies have no position"


def blocks_of(objid: np.ndarray, selected: Path, side: float) -> np.ndarray:
    """The block of each galaxy, from its position in the table `selected`: int64, shape (n,).

    Raises UserError if positions are missing.
    """
    table = read_table(selected).set_index("objid")
    absent = ~np.isin(objid, table.index)
    if absent.any():
        raise UserError(
            f"{selected}: no galaxy {objid[absent][0]} ({absent.sum()} of {len(objid)} are "
            "missing). Run the stages again in order."
        )
    table = table.loc[objid]
    reason = why_no_blocks(table)
    if reason:
        raise UserError(
            f"{selected}: a split by sky needs positions, and {reason}. Name their columns in "
            "catalogue.columns, or set splits.by to `galaxy`."
        )
    return sky_blocks(table["ra"].to_numpy(float), table["dec"].to_numpy(float), side)
