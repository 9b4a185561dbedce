"""Each variant sees its own columns, in a fixed order, and nothing else."""

import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_columns
from mgsflow.models.inputs import LABELS, input_columns, variant_label
from mgsflow.report.names import inputs_name, training_name

BANDS = ["u", "g", "r", "i", "z"]
COLOURS = ["colour_u_g", "colour_g_r", "colour_r_i", "colour_i_z"]
REST = [f"rest_{name}" for name in COLOURS]
MAGNITUDES = [f"mag_{band}" for band in BANDS]
LATENTS = ["latent_mean_00", "latent_mean_01", "latent_std_00", "latent_std_01"]
TABLE = ["objid", "set", "redshift", "ra", *REST, *COLOURS, *MAGNITUDES, *LATENTS[::-1]]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("images_photometry-rest_frame", LATENTS + REST + MAGNITUDES),
        ("images_photometry-observed", LATENTS + COLOURS + MAGNITUDES),
        ("photometry-rest_frame", REST + MAGNITUDES),
        ("photometry-observed", COLOURS + MAGNITUDES),
        ("images", LATENTS),
        ("images_photometry-rest_frame+spline", LATENTS + REST + MAGNITUDES),
        ("photometry-observed+affine", COLOURS + MAGNITUDES),
        ("images+spline", LATENTS),
    ],
)
def test_columns_of_each_variant(variant, expected):
    assert input_columns(variant, BANDS, TABLE) == expected


def test_colours_are_of_the_bands_there_are():
    table = ["colour_g_i", "mag_g", "mag_i"]
    assert input_columns("photometry-observed", ["g", "i"], table) == table
    assert input_columns("photometry-observed", ["r"], ["mag_r"]) == ["mag_r"]


def test_latents_are_ordered_by_number_beyond_a_hundred():
    names = [f"latent_mean_{i:02d}" for i in (100, 9, 99, 10)]
    assert [int(name[12:]) for name in latent_columns(names)] == [9, 10, 99, 100]


@pytest.mark.parametrize(
    ("variant", "table", "named"),
    [
        ("photometry-rest_frame", COLOURS + MAGNITUDES, "rest_colour_u_g"),
        ("images", MAGNITUDES, "latent_mean_00"),
    ],
)
def test_an_absent_column_is_named(variant, table, named):
    with pytest.raises(UserError, match=named):
        input_columns(variant, BANDS, table)


def test_every_variant_has_its_own_label():
    labels = [variant_label(variant) for variant in LABELS]
    assert len(set(labels)) == len(labels)
    assert variant_label("images_photometry-rest_frame").startswith("Images + photometry + NF")
    spline = variant_label("photometry-observed+spline")
    assert spline == "Photometry + NF (ours, observed colours, spline)"
    assert variant_label("images+affine") == "Images + NF (ours, affine)"


def test_what_is_said_of_a_variant_in_short_keeps_its_family():
    assert inputs_name("photometry-observed+spline") == "Photometry (observed colours, spline)"
    assert inputs_name("images+affine") == "Images (affine)"
    assert training_name("line", "images") == "Lines: images"
    rest = "Properties: images + photometry (rest-frame colours, affine)"
    assert training_name("property", "images_photometry-rest_frame+affine") == rest
