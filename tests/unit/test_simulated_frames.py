"""The simulated frames: SAS's layout, every galaxy in its place with its light."""

import bz2
import io
import os
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from mgsflow.config import Simulated, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table
from mgsflow.sky.fields import frame_path, shard_of_fields
from mgsflow.sky.simulated import drawing
from mgsflow.sky.simulated.background import observe
from mgsflow.sky.simulated.camera import CAMERA, PIXEL_SCALE
from mgsflow.sky.simulated.drawing import View, draw_field
from mgsflow.sky.simulated.frame_file import sky_on_pixels
from mgsflow.sky.simulated.placement import field_wcs
from mgsflow.sky.simulated.scene import Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects
from mgsflow.sky.simulated.simulate_frames import frame_bytes, simulate_frames

SETTINGS = Simulated(galaxies=36, galaxies_per_field=12)
BANDS = ["g", "r"]
STAMPS = Stamps(bands=BANDS, shards=3, edge="mask")
REAL_DATA = Path(os.environ.get("MGSFLOW_REAL_DATA", "../shared/real"))
REAL_FRAME = REAL_DATA / "sas_frame" / "frame-r-001000-1-0100.fits.bz2"


@pytest.fixture(scope="module")
def objects():
    return make_objects(SETTINGS, seed=3)


@pytest.fixture(scope="module")
def rendered(objects, tmp_path_factory):
    """A shard's folder, and the objects of its one field."""
    folder = tmp_path_factory.mktemp("frames")
    objects.to_parquet(folder / "truth.parquet")
    objects[objects["kind"] == "galaxy"].to_parquet(folder / "selected.parquet")
    simulate_frames(
        selected=folder / "selected.parquet",
        truth=folder / "truth.parquet",
        shard=1,
        stamps=STAMPS,
        simulated=SETTINGS,
        seed=3,
        out=folder / "sas" / "1",
    )
    selected = read_table(folder / "selected.parquet")
    field = selected[shard_of_fields(selected, 3) == 1].iloc[0]
    of_field = (objects[["run", "camcol", "field"]] == field[["run", "camcol", "field"]]).all(
        axis=1
    )
    return folder / "sas" / "1", objects[of_field]


@pytest.fixture(scope="module")
def frames(rendered):
    """The field's frames by band. Decompressed at once: astropy reads bz2 by seeking, slowly."""
    folder, objects = rendered
    field = objects.iloc[0][["run", "camcol", "field"]]
    paths = {band: frame_path(folder, *field, band) for band in BANDS}
    return {
        band: fits.open(io.BytesIO(bz2.decompress(path.read_bytes())))
        for band, path in paths.items()
    }


def bright_and_alone(objects):
    """Galaxies whose neighbours are 60 pixels or more away, well inside the frame."""
    inside = objects[objects["x"].between(150, 1900) & objects["y"].between(150, 1340)]
    apart = [
        np.sort(np.hypot(objects["x"] - one["x"], objects["y"] - one["y"]))[1]
        for _, one in inside.iterrows()
    ]
    small = inside["disk_radius"].to_numpy() < 4
    return inside[(np.array(apart) > 90) & small & (inside["kind"] == "galaxy").to_numpy()]


def test_only_the_shards_field_is_written(rendered):
    folder, objects = rendered
    field = objects.iloc[0]
    names = [frame_path(folder, *field[["run", "camcol", "field"]], band) for band in BANDS]
    assert sorted(folder.rglob("*.bz2")) == sorted(names)


def test_frame_has_sas_layout(frames):
    image, calibration, sky, astrometry = frames["g"]
    assert image.data.shape == (1489, 2048) and image.header["BITPIX"] == -32
    assert image.header["FILTER"] == "g" and image.header["BUNIT"] == "nanomaggy"
    assert calibration.data.shape == (2048,)
    assert calibration.data.mean() == pytest.approx(image.header["NMGY"], rel=0.02)
    assert sky.data["ALLSKY"].shape == (1, 192, 256)
    assert sky.data["XINTERP"].shape == (1, 2048) and sky.data["YINTERP"].shape == (1, 1489)
    assert astrometry.data["FILTER"][0] == "g"
    for key in ("RUN", "CAMCOL", "FRAME", "CAMROW", "CTYPE1", "CD2_1"):
        assert key in image.header
    assert "DATE" not in image.header


@pytest.mark.skipif(not REAL_FRAME.exists(), reason="no real SAS frame in MGSFLOW_REAL_DATA")
def test_frame_is_laid_out_like_a_real_one(frames):
    ours = frames["r"]
    with fits.open(REAL_FRAME) as real:
        assert [type(hdu) for hdu in ours] == [type(hdu) for hdu in real]
        assert ours[2].data.dtype.names == real[2].data.dtype.names
        assert ours[2].data["XINTERP"][0][:5] == pytest.approx(real[2].data["XINTERP"][0][:5])
        assert set(ours[3].data.dtype.names) <= set(real[3].data.dtype.names)
        parity = [np.sign(np.linalg.det(WCS(frame[0].header).wcs.cd)) for frame in (real, ours)]
        assert parity[0] == parity[1] == -1


def test_counts_are_integers_before_the_sky_is_subtracted(frames):
    image, calibration, table = (frames["r"][hdu].data for hdu in range(3))
    sky = sky_on_pixels(table["ALLSKY"][0], table["XINTERP"][0], table["YINTERP"][0])
    empty = np.abs(image) < 0.1  # where ten binary digits do not blur a count
    counts = (image / calibration + sky)[empty]
    assert np.abs(counts - np.round(counts)).max() < 0.05
    noise = 1.4826 * np.median(np.abs(image - np.median(image)))
    assert noise == pytest.approx(CAMERA["r"].sky_noise, rel=0.1)
    assert abs(np.median(image)) < 0.3 * noise


@pytest.mark.parametrize("band", BANDS)
def test_galaxies_lie_where_the_projection_says(frames, rendered, band):
    """Centroids within 0.1 pixels of the catalogue's position through the frame's own header."""
    image, wcs = frames[band][0].data.astype(float), WCS(frames[band][0].header)
    chosen = bright_and_alone(rendered[1])
    assert len(chosen) >= 3
    offsets = [
        np.subtract(centroid(image, *p), p) for p in wcs.wcs_world2pix(chosen[["ra", "dec"]], 0)
    ]
    assert np.median(np.hypot(*np.transpose(offsets))) < 0.1
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.1


def centroid(image, column, row, width=2.5, half=12):
    """The Gaussian-weighted centroid in 0-based pixels, iterated."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    start = (round(row), round(column))
    window = tuple(slice(at - half, at + half + 1) for at in start)
    values, rows, columns = image[window], rows[window], columns[window]
    for _ in range(15):
        weight = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * width**2)) * values
        moved = np.array([(weight * (columns - column)).sum(), (weight * (rows - row)).sum()])
        column, row = np.array([column, row]) + 2 * moved / weight.sum()
    return column, row


def test_bands_are_offset_and_rotated(frames):
    green, red = (WCS(frames[band][0].header) for band in BANDS)
    column, row = green.wcs_world2pix(red.wcs_pix2world([[1000.0, 700.0]], 1), 1)[0]
    assert (column - 1000, row - 700) == pytest.approx(CAMERA["g"].offset, abs=0.01)
    # north is not up: the scan's direction is
    assert abs(red.wcs.cd[1, 0]) > 1e-5


@pytest.mark.parametrize("band", BANDS)
def test_all_light_is_on_the_frame(objects, band):
    """Without noise, the summed pixels are the true flux within 2%."""
    small = objects[(objects["kind"] == "galaxy") & (objects["disk_radius"] < 5)].head(4)
    for _, galaxy in small.iterrows():
        image = drawn(galaxy, band, 1000.3, 700.6)
        assert image.sum(dtype=float) == pytest.approx(galaxy[f"nanomaggies_{band}"], rel=0.02)


def drawn(galaxy, band, x, y, fwhm=1.3):
    """A frame with nothing on it but a galaxy."""
    one, wcs = pd.DataFrame([galaxy]).assign(x=x, y=y), field_wcs(galaxy, band)
    return draw_field(one, one.head(0), wcs, {band: View(wcs, fwhm)})[band]


def covariance(image, x, y):
    """Second moments of the light about a FITS pixel, in pixels squared: columns, then rows."""
    rows, columns = np.mgrid[:1489, :2048]
    offsets = np.stack([columns - x + 1, rows - y + 1]).reshape(2, -1)
    return (offsets * image.ravel()) @ offsets.T / image.sum(dtype=float)


@pytest.fixture
def disk(objects):
    galaxy = objects[objects["kind"] == "galaxy"].iloc[0].copy()
    galaxy["position_angle"], galaxy["disk_axis_ratio"], galaxy["disk_radius"] = 30.0, 0.3, 5.0
    galaxy[[f"bulge_share_{band}" for band in "ugriz"]] = 0.0
    return galaxy


def test_position_angle_runs_from_north_to_east(disk):
    moments = covariance(drawn(disk, "r", 1000.0, 700.0), 1000.0, 700.0)
    major = field_wcs(disk, "r").wcs.cd @ np.linalg.eigh(moments)[1][:, -1]  # east, north
    assert np.degrees(np.arctan2(*major)) % 180 == pytest.approx(30.0, abs=1.0)


def test_disk_radius_is_the_major_axis(disk):
    """An exponential disk's variance along its major axis is three scale lengths squared."""
    fwhm = 1.3
    moments = covariance(drawn(disk, "r", 1000.0, 700.0, fwhm), 1000.0, 700.0)
    core, wing = (fwhm * drawing.CORE_WIDTH / 2.355) * np.array([1, drawing.WING_WIDTH])
    seeing = (1 - drawing.WING_SHARE) * core**2 + drawing.WING_SHARE * wing**2
    blur = seeing / PIXEL_SCALE**2 + 1 / 12
    minor, major = np.sqrt(np.linalg.eigvalsh(moments) - blur) * PIXEL_SCALE
    assert major == pytest.approx(np.sqrt(3) * 5.0 / 1.678, rel=0.03)
    assert minor / major == pytest.approx(0.3, abs=0.02)


def by_galsim(profile, side, wcs, x, y, fwhm, accuracy):
    """The whole frame with one profile, drawn by galsim alone."""
    image = galsim.ImageF(2048, 1489, xmin=1, ymin=1)
    seen = galsim.Convolve([profile, drawing.point_spread(fwhm)], gsparams=accuracy)
    where = {"nx": side, "ny": side, "center": (x, y), "wcs": drawing._jacobian(wcs)}
    stamp = seen.drawImage(**where, dtype=np.float32)
    both = stamp.bounds & image.bounds
    image[both] += stamp[both]
    return image.array


SHARPEST = 0.94  # arcsec: i, in the best of fields, at the least psf_fwhm
PLACES = [(1000.3, 700.6), (1200.0, 301.5), (3.2, 1480.9), (2049.5, 700.0)]  # two at the edge


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["disk", "bulge", "star"])
def test_light_is_drawn_as_by_galsim(objects, disk, kind, place):
    """Transforms shared among bands give galsim's own pixels, to float32's rounding."""
    galaxy = disk.copy()
    if kind == "bulge":
        galaxy[[f"bulge_share_{band}" for band in "ugriz"]] = 0.6
        galaxy[["bulge_sersic", "bulge_radius", "bulge_axis_ratio"]] = 4.0, 1.2, 0.8
    one, wcs = pd.DataFrame([galaxy]).assign(x=place[0], y=place[1]), field_wcs(galaxy, "r")
    galaxies, points = (one.head(0), one) if kind == "star" else (one, one.head(0))
    ours = draw_field(galaxies, points, wcs, {"r": View(wcs, 1.3)})["r"]
    profile, side = drawing.galaxy_profile(galaxy, "r"), int(drawing.stamp_sides(one)[0])
    if kind == "star":
        profile, side = galsim.DeltaFunction(galaxy["nanomaggies_r"]), drawing.POINT_SIDE
    # a folding threshold this large leaves the transform the size of the square
    square = galsim.GSParams(folding_threshold=0.5, maximum_fft_size=8192)
    theirs = by_galsim(profile, side, wcs, *place, 1.3, square)
    assert np.abs(ours - theirs).max() < 2e-6 * galaxy["nanomaggies_r"]
    assert ours.max() > 1e-3 * galaxy["nanomaggies_r"]


def test_light_that_wraps_round_or_is_cut_off_drowns_in_noise(objects):
    """Against galsim's transforms of any size, in the sharpest seeing: a tenth of the noise."""
    exact = galsim.GSParams(folding_threshold=1e-3, maximum_fft_size=16384)
    camera = CAMERA["i"]
    for _, galaxy in objects[objects["kind"] == "galaxy"].head(12).iterrows():
        wcs, side = field_wcs(galaxy, "i"), int(drawing.stamp_sides(pd.DataFrame([galaxy]))[0])
        ours = drawn(galaxy, "i", 1000.3, 700.6, SHARPEST)
        profile = drawing.galaxy_profile(galaxy, "i")
        theirs = by_galsim(profile, side, wcs, 1000.3, 700.6, SHARPEST, exact)
        counts = theirs / camera.nanomaggies_per_count + camera.sky_counts
        noise = np.sqrt(counts / camera.gain + camera.dark_variance) * camera.nanomaggies_per_count
        assert np.abs((ours - theirs) / noise).max() < 0.1


def test_noise_is_the_cameras():
    noise = np.random.default_rng(1).standard_normal((1489, 2048), dtype=np.float32)
    calibration, sky = np.full(2048, 0.005), np.full((1489, 2048), 140.0, dtype=np.float32)
    image = observe(np.full((1489, 2048), 0.5), calibration, sky, "r", noise)
    assert image.mean() == pytest.approx(0.5, abs=1e-3)
    variance = (100 + 140) / CAMERA["r"].gain + CAMERA["r"].dark_variance + 1 / 12  # rounding
    assert image.std() == pytest.approx(0.005 * np.sqrt(variance), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("band", BANDS)
def test_one_frame_on_demand_is_the_stages(objects, rendered, band):
    """Whichever bands are rendered beside it."""
    folder, of_field = rendered
    name = tuple(of_field.iloc[0][["run", "camcol", "field"]])
    first = frame_path(folder, *name, band).read_bytes()
    assert frame_bytes(Sky(objects, SETTINGS, seed=3), name, band) == first
    assert bz2.decompress(first)[:6] == b"SIMPLE"


def test_a_shard_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="3 shards"):
        simulate_frames(
            selected=tmp_path,
            truth=tmp_path,
            shard=3,
            stamps=STAMPS,
            simulated=SETTINGS,
            seed=3,
            out=tmp_path / "out",
        )
