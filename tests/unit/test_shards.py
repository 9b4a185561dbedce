"""Shards: what is read through the map is what was written, stretched as said."""

import h5py
import numpy as np
import pandas as pd
import pytest

from mgsflow.core.errors import UserError
from mgsflow.sample.shards import Layout, ShardReader, StampSet, create_shard, shard_number
from mgsflow.sample.stretch import Stretch

LAYOUT = Layout("frames", ("g", "r"), 16, 0.396, "float16")
STRETCH = Stretch(softening=0.1, scale=5.0)


def write_shard(path, objid, seed=0, layout=LAYOUT):
    """A shard of random stamps; returns them."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(0, 30, (len(objid), *layout.shape)).astype(layout.dtype)
    with create_shard(path, layout, len(objid)) as writer:
        for one, stamp in zip(objid, pixels, strict=True):
            writer.add(one, stamp)
    return pixels


def test_map_and_hdf5_agree(tmp_path):
    path = tmp_path / "shard-003.h5"
    ids = [1237648720693755918, 5, -3]
    pixels = write_shard(path, ids)
    reader = ShardReader(path)
    assert isinstance(reader.stamps, np.memmap)
    assert np.array_equal(reader.stamps, pixels)
    assert reader.objid.tolist() == ids
    assert reader.layout == LAYOUT
    with h5py.File(path) as file:
        assert np.array_equal(file["stamps"][:], pixels)


def test_map_is_read_only(tmp_path):
    write_shard(tmp_path / "shard-000.h5", [1])
    with pytest.raises(ValueError, match="read-only"):
        ShardReader(tmp_path / "shard-000.h5").stamps[0] = 0


def test_more_stamps_than_a_block(tmp_path):
    pixels = write_shard(tmp_path / "shard-000.h5", range(600))
    assert np.array_equal(ShardReader(tmp_path / "shard-000.h5").stamps, pixels)


def test_writer_that_fails_or_lacks_stamps_leaves_nothing(tmp_path):
    path, stamp = tmp_path / "shard-000.h5", np.zeros(LAYOUT.shape, np.float16)
    with pytest.raises(ZeroDivisionError), create_shard(path, LAYOUT, 1) as writer:
        writer.add(1, stamp)
        1 / 0  # noqa: B018
    few = pytest.raises(ValueError, match="1 stamps were added to a shard of 2")
    with few, create_shard(path, LAYOUT, 2) as writer:
        writer.add(1, stamp)
    assert not list(tmp_path.iterdir())


def test_writer_refuses_another_layout(tmp_path):
    with create_shard(tmp_path / "shard-000.h5", LAYOUT, 0) as writer:
        with pytest.raises(ValueError, match="float32"):
            writer.add(1, np.zeros(LAYOUT.shape, np.float32))
        with pytest.raises(ValueError, match="not of"):
            writer.add(1, np.zeros((2, 8, 8), np.float16))


def test_set_reads_rows_of_all_shards_in_the_order_asked(tmp_path):
    first = write_shard(tmp_path / "shard-000.h5", [10, 11, 12], seed=1)
    write_shard(tmp_path / "shard-001.h5", [])
    last = write_shard(tmp_path / "shard-002.h5", [20, 21], seed=2)
    index = pd.DataFrame({"objid": [20, 10, 21, 12], "shard": [2, 0, 2, 0], "row": [0, 0, 1, 2]})
    shards = [tmp_path / f"shard-00{n}.h5" for n in (2, 0, 1)]
    stamps = StampSet(shards, index, STRETCH)
    expected = np.stack([last[0], first[0], last[1], first[2]])
    assert np.array_equal(stamps.raw(np.arange(4)), expected)
    assert np.array_equal(stamps.raw([3, 1, 1]), expected[[3, 1, 1]])
    flux = expected.astype(np.float64)
    assert stamps.read([0, 1]) == pytest.approx(np.arcsinh(flux[:2] / 0.1) / 5, abs=1e-6)
    assert stamps.read([0]).dtype == np.float32
    assert stamps.raw([]).shape == (0, *LAYOUT.shape)


def test_stretch_by_table_equals_arcsinh_for_every_half():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):
        expected = np.arcsinh(halves.astype(np.float64) / 0.1) / 5
    np.testing.assert_allclose(STRETCH(halves), expected, rtol=1e-6)


def test_stretch_of_jpeg_and_inverse():
    assert STRETCH(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    flux = np.array([-0.3, 0.0, 0.02, 55.0], np.float32)
    assert STRETCH.inverse(STRETCH(flux)) == pytest.approx(flux, rel=1e-5)


def test_mixed_layouts_are_refused(tmp_path):
    write_shard(tmp_path / "shard-000.h5", [1])
    other = Layout("files", ("g", "r"), 16, 0.396, "uint8")
    write_shard(tmp_path / "shard-001.h5", [2], layout=other)
    index = pd.DataFrame({"objid": [1], "shard": [0], "row": [0]})
    with pytest.raises(UserError, match="never mixed"):
        StampSet(sorted(tmp_path.glob("*.h5")), index)


def test_absent_broken_and_forgotten_shards_are_the_users(tmp_path):
    path = tmp_path / "shard-000.h5"
    with pytest.raises(UserError, match="no such shard"):
        ShardReader(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(UserError, match="not a shard"):
        ShardReader(path)
    pixels = write_shard(path, range(40))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - pixels.nbytes // 2])
    with pytest.raises(UserError, match="not a shard"):
        ShardReader(path)
    write_shard(path, [1])
    index = pd.DataFrame({"objid": [1], "shard": [4], "row": [0]})
    with pytest.raises(UserError, match="names shard 4"):
        StampSet([path], index)
    with pytest.raises(UserError, match=r"shard-NNN\.h5"):
        shard_number(tmp_path / "stamps.h5")


def test_chunked_file_is_refused_rather_than_misread(tmp_path):
    path = tmp_path / "shard-000.h5"
    write_shard(path, [1, 2])
    with h5py.File(path, "a") as file:
        pixels = file["stamps"][:]
        del file["stamps"]
        file.create_dataset("stamps", data=pixels, chunks=True)
    with pytest.raises(UserError, match="contiguous"):
        ShardReader(path)
