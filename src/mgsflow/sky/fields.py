"""SDSS fields: their division among shards, and the paths of their frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError

FIELD_COLUMNS = ["run", "camcol", "field"]


def shard_of_fields(selected: pd.DataFrame, shards: int) -> pd.Series:
    """The shard, 0 to `shards` - 1, of each galaxy's field: shape (n,), in the order of `selected`.

    The fields, sorted by (run, camcol, field), are divided into `shards` contiguous groups whose
    numbers of fields differ by at most one, so that a field's frames are read by one job only.
    If there are fewer fields than shards, some shards are empty. The result depends only on the set
    of fields, not on the order of the rows or the number of galaxies in a field.
    """
    absent = [name for name in FIELD_COLUMNS if name not in selected]
    if absent:
        raise UserError(
            f"The selected galaxies have no column {', '.join(absent)}: frames are found by run, "
            "camcol and field. Use a catalogue that has them, or another provider of stamps."
        )
    fields = selected[FIELD_COLUMNS]
    unique = fields.drop_duplicates().sort_values(FIELD_COLUMNS, ignore_index=True)
    unique["shard"] = np.arange(len(unique)) * shards // max(len(unique), 1)
    shard = fields.merge(unique, on=FIELD_COLUMNS, how="left")["shard"]
    return pd.Series(shard.to_numpy(dtype=np.int64), index=selected.index, name="shard")


def frame_path(root: Path, run: int, camcol: int, field: int, band: str, rerun: int = 301) -> Path:
    """The path of a corrected frame on SAS, below `root` (on SAS: photoObj/frames)."""
    name = f"frame-{band}-{run:06d}-{camcol}-{field:04d}.fits.bz2"
    return Path(root) / str(rerun) / str(run) / str(camcol) / name
