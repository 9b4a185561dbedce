"""The index finds each galaxy's stamp, once."""

import numpy as np
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import read_table
from mgsflow.sample.index_stamps import index_stamps
from mgsflow.sample.shards import Layout, StampSet, create_shard

LAYOUT = Layout("frames", ("r",), 16, 0.396, "float16")


def _write(folder, *shards):
    """Shards whose stamps hold their own shard and row; returns their paths."""
    paths = [folder / f"shard-{number:03d}.h5" for number in range(len(shards))]
    for number, (path, ids) in enumerate(zip(paths, shards, strict=True)):
        with create_shard(path, LAYOUT, len(ids)) as writer:
            for row, objid in enumerate(ids):
                writer.add(objid, np.full(LAYOUT.shape, 100 * number + row, np.float16))
    return paths


def _index(folder, shards, masked_max=0.1):
    index_stamps(
        shards=shards,
        masked_max=masked_max,
        out=folder / "index.parquet",
        dropped=folder / "dropped.parquet",
    )


def test_index_leads_to_every_stamp(tmp_path):
    big = 1237648720693755918
    paths = _write(tmp_path, [big + 1, 7], [], [big])
    _index(tmp_path, paths[::-1])
    index = read_table(tmp_path / "index.parquet")
    assert index["objid"].dtype == np.int64
    assert index["objid"].tolist() == [big + 1, 7, big]
    found = StampSet(paths, index).raw(np.arange(3))[:, 0, 0, 0]
    assert found.tolist() == [0, 1, 200]


def test_galaxy_in_two_shards_is_refused(tmp_path):
    paths = _write(tmp_path, [1, 2], [3, 1])
    with pytest.raises(UserError, match="Galaxy 1 has a stamp in row 0 of shard 0 and in row 1"):
        _index(tmp_path, paths)
    assert not (tmp_path / "index.parquet").exists()


def test_no_stamp_at_all_is_the_users(tmp_path):
    with pytest.raises(UserError, match="None of the 2 shards"):
        _index(tmp_path, _write(tmp_path, [], []))


def test_stamps_that_are_masked_too_far_are_dropped_and_counted(tmp_path):
    path = tmp_path / "shard-000.h5"
    with create_shard(path, LAYOUT, 3) as writer:
        for objid, masked in ((5, 0.0), (6, 0.1), (7, 0.11)):
            writer.add(objid, np.zeros(LAYOUT.shape, np.float16), masked)
    _index(tmp_path, [path])
    assert read_table(tmp_path / "index.parquet")["objid"].tolist() == [5, 6]
    entries, totals = read_account(tmp_path / "dropped.parquet")
    assert entries["objid"].tolist() == [7] and "more than 10%" in entries["reason"][0]
    assert (totals["came"], totals["kept"], list(totals["noted"].values())) == (3, 2, [1])
    _index(tmp_path, [path], 1.0)
    assert len(read_table(tmp_path / "index.parquet")) == 3
