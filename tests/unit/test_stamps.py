"""The stage stamps: bands aligned, edges and missing frames accounted for, fields read once."""

import h5py
import numpy as np
import pandas as pd
import pytest
from synthetic_frames import (
    CENTRE,
    centroid,
    draw,
    east_north,
    field_wcs,
    galaxies_at,
    write_frame,
)

from mgsflow.config import Catalogue, Network, Sdss, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import write_table
from mgsflow.sample.cutting import FrameCutter
from mgsflow.sample.frames import LocalFrames
from mgsflow.sample.shards import ORIENTATION, ShardReader
from mgsflow.sample.stamps import stamps

SETTINGS = Stamps(size=64, shards=1, edge="mask")
# real bands of a field are offset by a few pixels and hardly turned against one another
OFFSET = {"g": (2.6, -4.3), "r": (0.0, 0.0), "i": (-3.7, 1.9)}
FLUX = {"g": 20.0, "r": 40.0, "i": 60.0}


def _run(tmp_path, galaxies, settings=SETTINGS, shard=0, sky="simulated", **options):
    write_table(tmp_path / "selected.parquet", galaxies)
    out, dropped = tmp_path / f"shard-{shard:03d}.h5", tmp_path / f"dropped-{shard:03d}.parquet"
    options.setdefault("frames", tmp_path / "sas")
    stamps(
        selected=tmp_path / "selected.parquet",
        shard=shard,
        stamps=settings,
        sky=sky,
        sdss=Sdss(),
        network=Network(),
        partial=tmp_path / "partial",
        downloads=tmp_path / "downloads",
        catalogue=options.pop("catalogue", Catalogue()),
        out=out,
        dropped=dropped,
        **options,
    )
    return ShardReader(out), read_account(dropped)


def _write_field(root, sky, field=57, angle=31.0, bands="gri", noise=0.0, **wcs_options):
    for band in bands:
        wcs = field_wcs(angle, OFFSET[band], **wcs_options)
        sources = [(ra, dec, FLUX[band], 1.6) for ra, dec in sky]
        write_frame(root, band, draw(wcs, sources, noise=noise, seed=ord(band)), wcs, field)


def test_bands_are_aligned_centred_and_keep_their_flux(tmp_path):
    sky = [east_north(*CENTRE, east, north) for east, north in ((0, 0), (31, 20), (-44.7, 35))]
    _write_field(tmp_path / "sas", sky, noise=0.004)
    shard, (entries, account) = _run(tmp_path, galaxies_at(sky))
    assert entries.empty
    assert account["kept"] == account["came"] == 3
    assert sorted(shard.objid) == list(10**18 + np.arange(3))
    for stamp in shard.stamps.astype(np.float64):
        aperture = np.s_[:, 20:44, 20:44]
        for band, image in zip("gri", stamp[aperture], strict=True):
            assert centroid(image) == pytest.approx((11.5, 11.5), abs=0.1)
            assert image.sum() == pytest.approx(FLUX[band], rel=0.01)


def test_flux_within_one_per_cent_without_noise(tmp_path):
    sky = [
        east_north(*CENTRE, *offset) for offset in np.random.default_rng(1).uniform(-30, 30, (5, 2))
    ]
    _write_field(tmp_path / "sas", sky[:1])
    shard, _ = _run(tmp_path, galaxies_at(sky[:1]))
    total = shard.stamps[0].astype(np.float64).sum(axis=(1, 2))
    assert total == pytest.approx([FLUX[band] for band in "gri"], rel=0.005)


def test_shard_says_what_it_holds(tmp_path):
    _write_field(tmp_path / "sas", [CENTRE])
    _run(tmp_path, galaxies_at([CENTRE]))
    with h5py.File(tmp_path / "shard-000.h5") as file:
        assert file["stamps"].dtype == np.float16
        assert file["stamps"].chunks is None
        assert file["stamps"].id.get_offset() is not None
        assert file["objid"].dtype == np.int64
        assert list(file.attrs["bands"]) == ["g", "r", "i"]
        assert file.attrs["pixel_scale"] == 0.396
        assert file.attrs["unit"] == "nanomaggy"
        assert file.attrs["orientation"] == ORIENTATION


def test_galaxy_at_the_edge_is_masked_and_one_beyond_it_dropped(tmp_path):
    inside = CENTRE
    edge = east_north(*CENTRE, 0, (250 - 15) * 0.396)  # 15 pixels from the northern edge
    beyond = east_north(*CENTRE, 0, (250 + 30) * 0.396)
    _write_field(tmp_path / "sas", [inside, edge], angle=0)
    galaxies = galaxies_at([inside, edge, beyond])

    shard, (entries, account) = _run(tmp_path, galaxies)
    assert list(shard.objid) == [10**18, 10**18 + 1]
    assert dict(zip(entries["objid"], entries["reason"], strict=True)) == {
        10**18 + 2: "its position is outside the frames of its field"
    }
    assert account["came"] == account["kept"] + len(entries)
    masked = shard.stamps[1].astype(float)
    assert (masked[:, -10:] == 0).all()  # north of the field there is nothing
    # of the 32 rows above the galaxy 15 are there, and 1.9 fewer in i, whose frame lies lower
    assert shard.masked == pytest.approx([0, (32 - 15 + 1.9) / 64], abs=1 / 64)
    assert masked[1].sum() == pytest.approx(FLUX["r"], rel=0.01)


def test_pixels_that_are_no_number_drop_only_the_galaxies_they_touch(tmp_path):
    far = east_north(*CENTRE, 60, 0)
    _write_field(tmp_path / "sas", [CENTRE, far])
    wcs = field_wcs(31.0, OFFSET["i"])
    image = draw(wcs, [])
    x, y = wcs.world_to_pixel_values(*far)
    image[round(float(y)) + 4, round(float(x)) - 3] = np.nan
    write_frame(tmp_path / "sas", "i", image, wcs)
    shard, (entries, _) = _run(tmp_path, galaxies_at([CENTRE, far]))
    assert list(shard.objid) == [10**18]
    assert list(entries["objid"]) == [10**18 + 1]
    assert "no number" in entries["reason"][0]


def test_field_without_a_frame_is_dropped_with_its_band(tmp_path):
    _write_field(tmp_path / "sas", [CENTRE], field=57)
    _write_field(tmp_path / "sas", [CENTRE], field=58, bands="gr")
    galaxies = pd.concat([galaxies_at([CENTRE], 57), galaxies_at([CENTRE, CENTRE], 58, 2 * 10**18)])
    shard, (entries, _) = _run(tmp_path, galaxies)
    assert list(shard.objid) == [10**18]
    assert list(entries["objid"]) == [2 * 10**18, 2 * 10**18 + 1]
    assert set(entries["reason"]) == {"its field has no frame in band i"}


def _cuts(cutter, galaxies):
    batches = cutter.batches(galaxies)
    cutter.expect(batches)
    return {cut.objid: cut for batch in batches for cut in cutter.cut(batch)}


def test_each_frame_is_read_once_whatever_the_order_of_galaxies(tmp_path):
    sky = [CENTRE, east_north(*CENTRE, 10, 5)]
    _write_field(tmp_path, sky, field=57)
    _write_field(tmp_path, sky, field=58)
    galaxies = pd.concat([galaxies_at(sky, 57), galaxies_at(sky, 58, 2 * 10**18)])
    reads = []

    class Counting(LocalFrames):
        def read(self, name):
            reads.append(str(name))
            return super().read(name)

    order = galaxies.iloc[[2, 0, 3, 1]]
    cuts = _cuts(FrameCutter(Counting(tmp_path), SETTINGS), order)
    assert len(reads) == len(set(reads)) == 6
    assert set(cuts) == set(galaxies["objid"])
    again = _cuts(FrameCutter(LocalFrames(tmp_path), SETTINGS), galaxies)
    assert all(np.array_equal(cuts[objid].stamp, again[objid].stamp) for objid in cuts)


def test_empty_shard_is_legal(tmp_path):
    _write_field(tmp_path / "sas", [CENTRE])
    galaxies = galaxies_at([CENTRE])
    of_two = [
        _run(tmp_path, galaxies, Stamps(size=64, shards=2), shard)[0].objid.tolist()
        for shard in (0, 1)
    ]
    assert sorted(of_two) == [[], [10**18]]


def test_same_input_gives_the_same_bytes(tmp_path):
    _write_field(tmp_path / "sas", [CENTRE])
    _run(tmp_path, galaxies_at([CENTRE]))
    first = (tmp_path / "shard-000.h5").read_bytes()
    _run(tmp_path, galaxies_at([CENTRE]))
    assert (tmp_path / "shard-000.h5").read_bytes() == first


def test_settings_that_cannot_work_are_the_users(tmp_path):
    galaxies = galaxies_at([CENTRE])
    with pytest.raises(UserError, match="counted from 0"):
        _run(tmp_path, galaxies, shard=1)
    with pytest.raises(UserError, match="--frames"):
        _run(tmp_path, galaxies, frames=None)
    with pytest.raises(UserError, match="none"):
        _run(tmp_path, galaxies, Stamps(provider="none", shards=1))
    assert not (tmp_path / "shard-000.h5").exists()


def test_galaxies_without_a_place_leave_with_the_first_shard(tmp_path):
    _write_field(tmp_path / "sas", [CENTRE])
    galaxies = galaxies_at([CENTRE, CENTRE, CENTRE]).astype({"field": float})
    galaxies.loc[1, "field"] = np.nan
    galaxies.loc[2, "ra"] = np.nan
    shards = [_run(tmp_path, galaxies, Stamps(size=64, shards=2), shard) for shard in (0, 1)]
    assert sum(len(shard) for shard, _ in shards) == 1
    lost = shards[0][1][0]
    assert list(lost["objid"]) == [10**18 + 1, 10**18 + 2]
    assert set(lost["reason"]) == {"its place is missing (position or field)"}


def test_what_was_begun_on_other_frames_is_not_taken(tmp_path, monkeypatch):
    """A job that ends after its first field, and finds other frames when it goes on."""
    _write_field(tmp_path / "sas", [CENTRE], field=57)
    galaxies = pd.concat([galaxies_at([CENTRE], 57), galaxies_at([CENTRE], 58, 2 * 10**18)])
    broken = write_frame(tmp_path / "sas", "g", np.zeros((5, 5), np.float32), field_wcs(), 58)
    broken.write_bytes(b"no frame")
    with pytest.raises(UserError, match="not a whole frame"):
        _run(tmp_path, galaxies)
    assert list((tmp_path / "partial").rglob("journal.jsonl"))
    _write_field(tmp_path / "sas", [], field=57)
    _write_field(tmp_path / "sas", [CENTRE], field=58)
    shard, _ = _run(tmp_path, galaxies)
    brightness = [float(stamp.astype(float).sum()) for stamp in shard.stamps]
    assert brightness[0] == 0 and brightness[1] > 50
