"""The index of stamps: the shard and row of each galaxy. Shards are never merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import write_table
from mgsflow.sample.shards import open_shards

_COLUMNS = (
    Quantity("shard", "", "Number of the shard, as in shard-NNN.h5"),
    Quantity("row", "", "Row of the stamp within its shard, from 0"),
    Quantity("masked", "", "Share of the stamp that no image covers, and that is 0"),
)


def index_stamps(*, shards: list[Path], masked_max: float, out: Path, dropped: Path) -> None:
    """Index the stamps of all shards by objid: columns objid, shard, row, masked.

    A galaxy is listed in `dropped` instead if no image covers a fraction of its stamp larger than
    `masked_max`. Shards of different layouts, a galaxy with two stamps, and shards that are all
    empty are errors.
    """
    readers = open_shards(shards)
    parts = [
        pd.DataFrame(
            {
                "objid": reader.objid,
                "shard": np.full(len(reader), number, np.int32),
                "row": np.arange(len(reader), dtype=np.int64),
                "masked": reader.masked,
            }
        )
        for number, reader in sorted(readers.items())
    ]
    index = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"objid": []})
    if index.empty:
        raise UserError(
            f"None of the {len(parts)} shards holds a stamp. catalogue/dropped/stamps-*.parquet "
            "have the reason for each galaxy."
        )
    _refuse_duplicates(index, shards)
    ledger = Ledger("index-stamps", len(index))
    whole = index["masked"] <= masked_max
    index = ledger.keep(
        index, whole, f"no image covers more than {masked_max:.0%} of its stamp (stamps.masked_max)"
    )
    ledger.note(
        "stamps of which no image covers a part, masked with 0", (index["masked"] > 0).sum()
    )
    ledger.write(dropped, len(index))
    say(f"index-stamps: {len(index)} stamps in {len(parts)} shards")
    write_table(out, index, _COLUMNS)


def _refuse_duplicates(index: pd.DataFrame, shards: list[Path]) -> None:
    places = index[
        ["objid", "shard", "row"]
    ]  # all integers, so that a row is not converted to float
    twice = places[places["objid"].duplicated(keep=False)].sort_values("objid")
    if len(twice):
        first, second = twice.iloc[0], twice.iloc[1]
        raise UserError(
            f"Galaxy {first['objid']} has a stamp in row {first['row']} of shard {first['shard']} "
            f"and in row {second['row']} of shard {second['shard']}; {twice['objid'].nunique()} "
            f"galaxies occur more than once. Remove the shards of {Path(shards[0]).parent} "
            "and rerun: some may be from an earlier selection."
        )
