"""The estimate of a run: sums that can be checked by hand, and the pages made of it."""

from __future__ import annotations

import importlib.util

import pytest

from mgsflow.config import validate
from mgsflow.estimate import FIELDS, FRAME_BYTES, describe, estimate, human

GALAXIES = {"selection": {"sample_size": 3000}}


def of(**sections):
    return estimate(validate(GALAXIES | sections))


def test_few_galaxies_lie_in_a_field_each_and_many_share_them():
    alone = {"stamps": {"edge": "mask"}}
    assert of(**alone).images == pytest.approx(3 * 3000, rel=0.01)
    everything = of(selection={"sample_size": None}, **alone).images
    assert 0.9 * 3 * FIELDS < everything < 3 * FIELDS


def test_mosaics_read_some_neighbours_too():
    alone, mosaic = of(stamps={"edge": "mask"}).images, of().images
    assert 1.04 * alone < mosaic < 1.06 * alone


def test_whole_fields_halve_the_frames_of_the_paper():
    galaxies = estimate(validate({}))
    fields = estimate(validate({"selection": {"sample_by": "field"}}))
    assert 0.5 < fields.images / galaxies.images < 0.6
    # the data volume that SDSS's documentation leads one to expect: some 1.5e5 fields, over 1 TB
    assert galaxies.images == pytest.approx(3 * 1.5e5, rel=0.1)
    assert galaxies.image_bytes == galaxies.images * FRAME_BYTES > 1e12


def test_a_cutout_is_one_request_a_galaxy():
    for provider, bytes_of_pixel in (("legacy", 2), ("jpeg", 1)):
        found = of(stamps={"provider": provider})
        assert found.images == 3000
        assert found.stamp_bytes == 3000 * 3 * 160**2 * bytes_of_pixel


def test_downloads_are_bounded_unless_they_are_kept():
    assert of().disk_bytes < 1e8
    kept = of(network={"keep_downloads": True})
    assert kept.disk_bytes == kept.image_bytes


def test_without_images_there_is_nothing_to_download_and_no_vae():
    photometry = {"flows": {"variants": ["photometry-observed"]}, "stamps": {"provider": "none"}}
    found = of(**photometry)
    assert (found.images, found.vae_hours, found.stamp_bytes) == (0, 0, 0)
    assert "images" not in describe(validate(photometry))


def test_a_reply_that_is_there_is_not_asked_for():
    replied = {"sdss": {"reply_file": "reply.csv"}}
    found = of(**replied)
    assert (found.queries, found.query_bytes) == (0, 0)
    assert "SkyServer  is not asked: its reply is reply.csv" in describe(validate(replied))
    assert "reply" not in describe(validate({}))


def test_the_papers_own_hours():
    """100,000 galaxies for the VAE; 125,000 for one flow model of one variant."""
    run = {
        "selection": {"sample_size": 225_000},
        "splits": {"vae": 100 / 225},
        "flows": {"variants": ["images_photometry-observed"], "members": 1},
    }
    found = estimate(validate(run))
    assert found.vae_hours == pytest.approx(1.5) and found.flow_hours == pytest.approx(0.5)


@pytest.mark.parametrize(
    "size, words", [(0, "0 B"), (999, "999 B"), (2.04e12, "2.04 TB"), (1.5e17, "150 PB")]
)
def test_sizes_are_said_in_the_unit_that_suits_them(size, words):
    assert human(size) == words


def test_the_page_of_scale_holds_what_the_arithmetic_gives(repository):
    spec = importlib.util.spec_from_file_location("scale", repository / "benchmarks/scale.py")
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    page = (repository / "docs/scale.md").read_text()
    for table in (scale.of_the_paper(), scale.of_a_billion(), describe(validate({}))):
        assert table in page, "run: python benchmarks/scale.py, and put its tables into the page"
