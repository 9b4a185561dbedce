"""Stamps from JPEG and FITS files: one orientation and parity, refusals counted."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from mgsflow.config import Catalogue, Network, Sdss, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import write_table
from mgsflow.sample.image_files import FileStamps
from mgsflow.sample.shards import ShardReader
from mgsflow.sample.stamps import stamps

REAL = Path(os.environ.get("MGSFLOW_REAL_DATA", "../shared/real"))
SIZE = 32
OBJID = 1237648720693755918  # beyond 2**53: a float would lose its last digits


def _sky_picture(size=SIZE):
    """A picture as on the sky, first row north, first column east: a blob in the north-east."""
    picture = np.zeros((size, size))
    picture[4:9, 3:8] = 1.0
    picture[4:6, 12] = 1.0  # and a tail to its west
    return picture


def _ours(picture):
    return picture[::-1]  # first row south


def _provider(folder, format, size=SIZE, bands=("g", "r", "i")):
    settings = Stamps(provider="files", size=size, bands=list(bands))
    return FileStamps(Catalogue(stamp_folder=str(folder), stamp_format=format), settings)


def _cut(provider, *objid):
    galaxies = pd.DataFrame({"objid": np.array(objid or [OBJID], np.int64)})
    return [cut for batch in provider.batches(galaxies) for cut in provider.cut(batch)]


def _wcs(scale=0.396, columns_west=True, rows_north=True, angle=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [200.0, 10.0]
    wcs.wcs.crpix = [16.5, 16.5]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    flips = np.diag([-1 if columns_west else 1, 1 if rows_north else -1])
    wcs.wcs.cd = scale / 3600 * flips @ np.array([[c, s], [-s, c]])
    return wcs


def _write_fits(folder, data, wcs=None, objid=OBJID, **cards):
    header = wcs.to_header() if wcs is not None else fits.Header()
    header.update(cards)
    fits.PrimaryHDU(np.asarray(data, np.float32), header).writeto(folder / f"{objid}.fits")


def test_jpeg_channels_and_orientation(tmp_path):
    picture = _sky_picture()
    channels = np.stack([200 * picture, 120 * picture, 40 * picture], axis=-1).astype(np.uint8)
    Image.fromarray(channels).save(tmp_path / f"{OBJID}.jpg", quality=100, subsampling=0)
    (cut,) = _cut(_provider(tmp_path, "jpeg"))
    assert cut.objid == OBJID
    assert cut.stamp.dtype == np.uint8
    # red is i, green r, blue g; JPEG loses a few levels
    for plane, level in zip(cut.stamp.astype(int), (40, 120, 200), strict=True):
        assert np.abs(plane - level * _ours(picture)).mean() < 6
        assert plane[_ours(picture) == 1].mean() == pytest.approx(level, abs=12)


@pytest.mark.parametrize("columns_west", [True, False])
@pytest.mark.parametrize("rows_north", [True, False])
def test_fits_parity_is_made_ours(tmp_path, columns_west, rows_north):
    data = _ours(_sky_picture())
    if not columns_west:
        data = data[:, ::-1]
    if not rows_north:
        data = data[::-1]
    _write_fits(
        tmp_path, np.stack([data, 2 * data, 3 * data]), _wcs(0.396, columns_west, rows_north)
    )
    (cut,) = _cut(_provider(tmp_path, "fits"))
    assert cut.stamp.dtype == np.float16
    for plane, factor in zip(cut.stamp, (1, 2, 3), strict=True):
        assert np.array_equal(plane, factor * _ours(_sky_picture()))


def test_fits_without_wcs_is_taken_as_it_is_and_bands_as_named(tmp_path):
    data = np.stack([np.full((SIZE, SIZE), level) for level in (3.0, 2.0, 1.0, 9.0)])
    _write_fits(tmp_path, data, BANDS="irgz")
    (cut,) = _cut(_provider(tmp_path, "fits"))
    assert cut.stamp[:, 0, 0].tolist() == [1, 2, 3]


def test_larger_images_are_cropped_about_their_centre(tmp_path):
    data = np.zeros((3, SIZE + 8, SIZE + 8))
    data[:, 4:-4, 4:-4] = _ours(_sky_picture())
    _write_fits(tmp_path, data)
    (cut,) = _cut(_provider(tmp_path, "fits"))
    assert np.array_equal(cut.stamp[0], _ours(_sky_picture()))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda f: None, "no image file"),
        (lambda f: _write_fits(f, np.zeros((3, 24, 64))), "smaller than 32 pixels"),
        (lambda f: _write_fits(f, np.zeros((2, 32, 32))), "does not hold the bands g, r, i"),
        (lambda f: _write_fits(f, np.zeros((3, 32, 32)), BANDS="grz"), "does not hold the bands"),
        (lambda f: _write_fits(f, np.full((3, 32, 32), np.nan)), "no number"),
        (lambda f: _write_fits(f, np.full((3, 32, 32), 1e6)), "beyond float16"),
        (lambda f: _write_fits(f, np.zeros((3, 32, 32)), _wcs(0.262)), "pixel scale"),
        (lambda f: _write_fits(f, np.zeros((3, 32, 32)), _wcs(angle=5)), "rotated"),
        (lambda f: (f / f"{OBJID}.fits").write_bytes(b"<html>"), "cannot be read"),
    ],
)
def test_refused_fits_says_why(tmp_path, write, reason):
    write(tmp_path)
    (cut,) = _cut(_provider(tmp_path, "fits"))
    assert cut.stamp is None
    assert reason in cut.reason


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b"\xff\xd8\xff half a picture"), "cannot be read"),
        (lambda path: Image.new("L", (32, 32)).save(path), "not in colour"),
        (lambda path: Image.new("RGB", (32, 31)).save(path), "smaller than 32 pixels"),
    ],
)
def test_refused_jpeg_says_why(tmp_path, write, reason):
    write(tmp_path / f"{OBJID}.jpg")
    (cut,) = _cut(_provider(tmp_path, "jpeg"))
    assert cut.stamp is None
    assert reason in cut.reason


def test_truncated_jpeg_is_refused(tmp_path):
    path = tmp_path / f"{OBJID}.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    (cut,) = _cut(_provider(tmp_path, "jpeg"))
    assert "cannot be read" in cut.reason


def test_settings_that_cannot_work_are_the_users(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        _provider(tmp_path / "absent", "fits")
    with pytest.raises(UserError, match=r"stamps\.bands.*not u, z"):
        _provider(tmp_path, "jpeg", bands=("u", "r", "z"))


def test_stage_divides_files_by_objid_and_accounts_for_all(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    ids = OBJID + np.arange(7, dtype=np.int64)
    for one in ids[:5]:
        _write_fits(folder, np.full((3, SIZE, SIZE), float(one - OBJID)), objid=one)
    write_table(tmp_path / "selected.parquet", pd.DataFrame({"objid": ids[::-1]}))
    seen, lost = [], []
    for shard in range(3):
        out, dropped = tmp_path / f"shard-{shard:03d}.h5", tmp_path / f"{shard}.parquet"
        stamps(
            selected=tmp_path / "selected.parquet",
            shard=shard,
            stamps=Stamps(provider="files", size=SIZE, shards=3),
            sky="catalogue",
            sdss=Sdss(),
            network=Network(),
            partial=tmp_path / "partial",
            downloads=tmp_path / "downloads",
            catalogue=Catalogue(stamp_folder=str(folder), stamp_format="fits"),
            out=out,
            dropped=dropped,
        )
        reader, (entries, account) = ShardReader(out), read_account(dropped)
        assert account["came"] == account["kept"] + len(entries)
        assert (reader.stamps[:, 0, 0, 0] == reader.objid - OBJID).all()
        seen += reader.objid.tolist()
        lost += entries["objid"].tolist()
    assert seen == ids[:5].tolist()  # contiguous, in order
    assert lost == ids[5:].tolist()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL} (MGSFLOW_REAL_DATA)")
def test_real_jpegs_hold_a_galaxy_at_their_centre():
    folder = REAL / "gri_jpeg_128"
    ids = sorted(int(path.stem) for path in folder.glob("*.jpg"))[:40]
    cuts = _cut(_provider(folder, "jpeg", 128), *ids)
    assert [cut.objid for cut in cuts] == ids
    stamps = np.stack([cut.stamp for cut in cuts]).astype(float)
    assert stamps.shape == (40, 3, 128, 128)
    mean = stamps.mean(axis=(0, 1))
    assert np.unravel_index(mean.argmax(), mean.shape) == pytest.approx((63.5, 63.5), abs=2)
    # galaxies are redder than their sky: from g to i their centres brighten
    centre = stamps[:, :, 60:68, 60:68].mean(axis=(2, 3))
    assert (np.median(centre, axis=0)[:-1] <= np.median(centre, axis=0)[1:]).all()
