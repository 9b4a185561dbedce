"""Frames are read whole or not at all, and resampled onto the sky with position and flux kept."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp
from synthetic_frames import (
    CENTRE,
    RUN,
    centroid,
    draw,
    east_north,
    field_wcs,
    frame_bytes,
    write_frame,
)

from mgsflow.core.errors import UserError
from mgsflow.sample.frames import (
    FrameName,
    LocalFrames,
    MissingFrameError,
    read_frame,
)
from mgsflow.sample.resample import Grid, is_inside, place, resample, rows_beyond
from mgsflow.sky.addresses import release_folder
from mgsflow.sky.client import BadReplyError

NAME = FrameName(RUN, 2, 57, "r")
REAL = Path(os.environ.get("MGSFLOW_REAL_DATA", "../shared/real"))
GRID = Grid(96, 0.396)


def _stamp(image, wcs, ra, dec, grid=GRID):
    (placement,) = place(wcs, np.array([ra]), np.array([dec]), grid)
    return resample([(image, placement)], grid)[0]


@pytest.mark.parametrize("angle", [0, 7.3, 90, 171, 263])
def test_position_and_flux_survive_any_scan_direction(angle):
    wcs = field_wcs(angle, shift=(3.4, -2.7))
    ra, dec = east_north(*CENTRE, 12.3, -8.1)
    stamp = _stamp(draw(wcs, [(ra, dec, 50.0, 1.5)]), wcs, ra, dec)
    assert centroid(stamp) == pytest.approx((GRID.centre, GRID.centre), abs=0.005)
    assert stamp.sum() == pytest.approx(50, rel=2e-3)


@pytest.mark.parametrize("angle", [0, 45, 130, 263])
def test_north_is_up_and_east_is_left(angle):
    wcs = field_wcs(angle)
    east, north = east_north(*CENTRE, 10 * 0.396, 0), east_north(*CENTRE, 0, 20 * 0.396)
    image = draw(wcs, [(*CENTRE, 10, 1.5), (*east, 30, 1.5), (*north, 60, 1.5)])
    stamp = _stamp(image, wcs, *CENTRE)
    # in pixels from the centre: row + is north, column - is east
    row, column = centroid(stamp)
    assert row - GRID.centre == pytest.approx(20 * 0.6, abs=0.02)
    assert column - GRID.centre == pytest.approx(-10 * 0.3, abs=0.02)


def test_linear_placement_agrees_with_the_full_wcs_everywhere_in_the_stamp():
    """At the corner of a real field, 160 pixels a side; astropy's own TAN grid is the truth."""
    wcs, grid = field_wcs(33, field_offset=0.16), Grid(160, 0.396)
    (placement,) = place(wcs, np.array([CENTRE[0]]), np.array([CENTRE[1]]), grid)
    stamp_wcs = WCS(naxis=2)
    stamp_wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    stamp_wcs.wcs.crval = CENTRE
    stamp_wcs.wcs.crpix = [grid.centre + 1] * 2
    stamp_wcs.wcs.cdelt = [-0.396 / 3600, 0.396 / 3600]
    row, column = np.mgrid[:160, :160]
    x, y = wcs.all_world2pix(*stamp_wcs.all_pix2world(column, row, 0), 0)
    assert np.abs(placement(row, column) - np.stack([y, x])).max() < 1e-3


@pytest.mark.parametrize("angle", [0, 33, 171])
def test_stamps_equal_those_of_reproject(angle):
    """The reference: reproject's cubic interpolation through the full WCS, pixel by pixel."""
    wcs = field_wcs(angle, shift=(3.4, -2.7))
    ra, dec = east_north(*CENTRE, 12.3, -8.1)
    image = draw(wcs, [(ra, dec, 50.0, 2.0)], noise=0.02)
    stamp_wcs = WCS(naxis=2)
    stamp_wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    stamp_wcs.wcs.crval, stamp_wcs.wcs.crpix = (ra, dec), [GRID.centre + 1] * 2
    stamp_wcs.wcs.cdelt = [-0.396 / 3600, 0.396 / 3600]
    reference = reproject_interp((image, wcs), stamp_wcs, (96, 96), order=3, return_footprint=False)
    assert np.abs(_stamp(image, wcs, ra, dec) - reference).max() < 1e-4  # the noise is 0.02


def test_larger_pixels_conserve_flux_and_position():
    wcs = field_wcs(20)
    grid = Grid(48, 2 * 0.396)
    stamp = _stamp(draw(wcs, [(*CENTRE, 50, 1.5)]), wcs, *CENTRE, grid)
    assert stamp.sum() == pytest.approx(50, rel=2e-3)
    assert centroid(stamp) == pytest.approx((grid.centre, grid.centre), abs=0.01)


def test_extended_galaxy_keeps_its_surface_brightness_profile():
    wcs = field_wcs(63)
    stamp = _stamp(draw(wcs, [(*CENTRE, 500, 9.0)]), wcs, *CENTRE)
    row, column = np.mgrid[:96, :96] - GRID.centre
    truth = 500 / (2 * np.pi * 81) * np.exp(-0.5 * (row**2 + column**2) / 81)
    assert np.abs(stamp - truth).max() < 2e-3 * truth.max()


def test_beyond_the_edge_is_sky_and_within_is_untouched():
    wcs, shape = field_wcs(0), (500, 600)
    ra, dec = east_north(*CENTRE, -(300 - 20) * 0.396, 0)  # 20 pixels from the western edge
    image = draw(wcs, [(ra, dec, 50, 1.5)], shape) + np.float32(1)
    (placement,) = place(wcs, np.array([ra]), np.array([dec]), GRID)
    assert not is_inside(placement, GRID, shape)
    stamp, masked = resample([(image, placement)], GRID)
    assert (stamp[:, -25:] == 0).all() and masked[:, -25:].all()
    assert not masked[:, :60].any() and not stamp[masked].any()
    assert stamp[:, :60].min() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("finer", [1, 2])
def test_a_stamp_across_the_edge_goes_on_in_the_next_frame(finer):
    """Two frames that overlap by 60 rows: their stamp equals that of one frame of all rows."""
    whole, grid = field_wcs(31, shape=(840, 600)), Grid(96 // finer, 0.396 * finer)
    image = draw(whole, [(*CENTRE, 500, 6.0)], (840, 600), noise=0.02)
    frames = []
    for first in (0, 390):
        wcs = whole.deepcopy()
        wcs.wcs.crpix[1] -= first
        frames.append((image[first : first + 450], wcs))
    places = [place(wcs, *np.array([CENTRE]).T, grid)[0] for _, wcs in frames]
    assert not is_inside(places[0], grid, (450, 600))
    assert rows_beyond(places[0], grid, (450, 600)) == [1]
    assert rows_beyond(places[1], grid, (450, 600)) == [-1]
    stamp, masked = resample(
        [(pixels, placed) for (pixels, _), placed in zip(frames, places, strict=True)], grid
    )
    assert not masked.any()
    # at the seam a spline that ends there differs, by a part of the noise
    assert np.abs(stamp - _stamp(image, whole, *CENTRE, grid)).max() < 0.03 * finer**2


def test_stamp_wholly_outside_is_sky():
    wcs = field_wcs(0)
    stamp = _stamp(draw(wcs, []) + np.float32(1), wcs, *east_north(*CENTRE, 4000, 0))
    assert (stamp == 0).all()


def test_local_frame_is_read_and_a_missing_one_named(tmp_path):
    wcs = field_wcs(10)
    image = draw(wcs, [(*CENTRE, 5, 2)])
    write_frame(tmp_path, "r", image, wcs)
    frame = LocalFrames(tmp_path).read(NAME)
    assert np.array_equal(frame.pixels, image)
    assert frame.pixels.dtype == np.float32
    with pytest.raises(MissingFrameError, match="frame g of run 1000, camcol 2, field 57"):
        LocalFrames(tmp_path).read(FrameName(RUN, 2, 57, "g"))


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"<html>busy</html>"],
    ids=["truncated", "empty", "page"],
)
def test_damaged_frame_is_never_taken_for_whole(tmp_path, damage):
    wcs = field_wcs(shape=(60, 80))
    data = frame_bytes(draw(wcs, [(*CENTRE, 5, 2)], (60, 80)), wcs)
    with pytest.raises(BadReplyError):
        read_frame(damage(data))
    path = write_frame(tmp_path, "r", np.ones((60, 80), np.float32), wcs)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="not a whole frame"):
        LocalFrames(tmp_path).read(NAME)


def test_flipped_bit_is_noticed():
    wcs = field_wcs(shape=(60, 80))
    data = bytearray(frame_bytes(draw(wcs, [(*CENTRE, 5, 2)], (60, 80), noise=1), wcs))
    data[len(data) // 2] ^= 4
    with pytest.raises(BadReplyError):
        read_frame(bytes(data))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL} (MGSFLOW_REAL_DATA)")
def test_headers_of_real_frames_are_taken_for_what_they_are():
    """FRAME is not the field: in g of run 1737, camcol 5, field 39 it is 47."""
    g = fits.getheader(REAL / "ngc6976_gri_fits/reprojected_sdss_g.fits.bz2")
    r = fits.getheader(REAL / "sas_frame/frame-r-001000-1-0100.fits.bz2")
    assert not FrameName(1737, 5, 39, "g").contradicts(g)
    assert not FrameName(1000, 1, 100, "r").contradicts(r)
    assert FrameName(1000, 1, 100, "g").contradicts(r)
    assert FrameName(1001, 1, 100, "r").contradicts(r)


def test_folders_of_the_releases():
    assert release_folder(8) == "dr8/groups/boss/photoObj/frames"
    assert release_folder(12) == "dr12/boss/photoObj/frames"
    assert release_folder(13) == "dr13/eboss/photoObj/frames"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL} (MGSFLOW_REAL_DATA)")
def test_real_star_is_where_and_as_bright_as_sdss_says():
    """photoObj's own position and aperture flux (radius 1.745 arcsec) of the brightest star."""
    frame = read_frame((REAL / "sas_frame/frame-r-001000-1-0100.fits.bz2").read_bytes())
    objects = fits.getdata(REAL / "sas_frame/photoObj-001000-1-0100.fits")
    x, y = frame.wcs.world_to_pixel_values(objects["RA"], objects["DEC"])
    within = (np.abs(x - 50) < 45) & (np.abs(y - 50) < 45)
    star = objects[within][np.argmax(objects[within]["PSFFLUX"][:, 2])]
    grid = Grid(40, 0.396)
    (placement,) = place(frame.wcs, star["RA"][None], star["DEC"][None], grid)
    assert placement.area == pytest.approx(1, abs=5e-3)  # the frame has the scale of the stamp
    stamp, _ = resample([(frame.pixels, placement)], grid)
    row, column = np.mgrid[:40, :40]
    core = np.where(np.hypot(row - grid.centre, column - grid.centre) < 4, stamp, 0)
    at = centroid(core)
    # the gnomonic WCS of a frame is good to some 0.5 pixel of SDSS's own astrometry
    assert np.hypot(*np.subtract(at, grid.centre)) < 1
    aperture = np.hypot(row - at[0], column - at[1]) < 1.745 / 0.396
    assert stamp[aperture].sum() == pytest.approx(star["APERFLUX"][2, 3], rel=0.05)
