"""Surveys as data: what a record refuses, and that nothing else states what it says."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mgsflow.config import validate
from mgsflow.core.errors import UserError
from mgsflow.core.photometry import (
    REST_COLOUR,
    bands_in,
    bands_of_colour,
    colour_columns,
    colours,
    magnitudes_of_colours,
    rest_colour_columns,
)
from mgsflow.core.surveys import SDSS, known_bands, survey_with
from mgsflow.sky.columns import COLUMNS, SERVED

SOURCE = Path(__file__).resolve().parents[2] / "src/mgsflow"
RECORDS = SOURCE / "core/surveys.py"


def test_bands_stand_in_order_of_wavelength():
    assert "".join(SDSS.bands) == "ugriz" == "".join(known_bands())
    assert SDSS.picture_channels == ("i", "r", "g")
    assert [SDSS.passband(band).ab_shift for band in "ugriz"] == [-0.04, 0, 0, 0, 0.02]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passbands": SDSS.passbands[::-1]}, "in order of wavelength"),
        ({"passbands": (*SDSS.passbands, SDSS.passbands[-1])}, "each band once"),
        ({"picture_bands": ("g", "r", "y")}, "SDSS has no band y"),
        ({"colour_pairs": (("u", "K"),)}, "SDSS has no band K"),
        (
            {"passbands": (replace(SDSS.passbands[0], name="u_0"), *SDSS.passbands[1:])},
            "underscore",
        ),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SDSS, **changes)


def test_a_survey_is_found_by_its_bands():
    assert survey_with(["g", "z"]) is SDSS and survey_with([]) is SDSS
    with pytest.raises(LookupError, match="no survey has the bands g, y .*SDSS: u, g, r, i, z"):
        survey_with(["g", "y"])


def test_settings_name_the_bands_of_the_survey():
    with pytest.raises(
        UserError, match="photometry.bands.1: SDSS has the bands u, g, r, i, z, not 'y'"
    ):
        validate({"photometry": {"bands": ["g", "y"]}})
    with pytest.raises(UserError, match="stamps.bands.0: SDSS has the bands"):
        validate({"stamps": {"bands": ["gri"]}})


def test_the_service_columns_of_a_band_follow_from_the_templates():
    assert SERVED["mag_u"] == "modelMag_u" and COLUMNS["modelMagErr_z"] == "mag_err_z"
    assert SERVED["extinction_r"] == "extinction_r"


def test_colours_are_of_adjacent_bands_and_lead_back_to_magnitudes():
    bands = ("u", "g", "i", "z")
    magnitudes = dict(
        zip(bands, np.array([[19.0, 18], [17, 16.5], [16, 16], [15.5, 15]]), strict=True)
    )
    made = colours(magnitudes, bands)
    assert list(made) == colour_columns(bands) == ["colour_u_g", "colour_g_i", "colour_i_z"]
    np.testing.assert_array_equal(made["colour_g_i"], [1.0, 0.5])
    assert list(colours(magnitudes, bands, REST_COLOUR)) == rest_colour_columns(bands)
    back = magnitudes_of_colours(list(made.values()), bands, "i", magnitudes["i"])
    assert list(back) == list(bands)
    for band in bands:
        np.testing.assert_allclose(back[band], magnitudes[band])
    assert [bands_of_colour(name) for name in ("colour_u_g", "rest_colour_i_z")] == [
        ("u", "g"),
        ("i", "z"),
    ]
    assert bands_in(["mag_z", "mag_err_u", "mag_g", "colour_g_r"]) == ["g", "z"]


def literals(path: Path):
    """The constants of a module, and its tuples and lists of texts, but for docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in docstrings:
            yield node.value
        elif isinstance(node, ast.Tuple | ast.List):
            texts = [part.value for part in node.elts if isinstance(part, ast.Constant)]
            if texts and len(texts) == len(node.elts) and all(isinstance(t, str) for t in texts):
                yield tuple(texts)


def stated(path: Path) -> set:
    """What a module states of SDSS's bands and pixels."""
    orders = (SDSS.bands, SDSS.picture_bands, SDSS.picture_channels)
    facts = {*orders, *map("".join, orders), SDSS.pixel_scale, str(SDSS.pixel_scale)}
    return {value for value in literals(path) if value in facts}


def test_no_module_but_the_records_states_bands_or_pixel_scale():
    assert stated(RECORDS) >= {SDSS.pixel_scale, SDSS.picture_bands}, "the search finds nothing"
    others = {path: stated(path) for path in sorted(SOURCE.rglob("*.py")) if path != RECORDS}
    assert not {str(path): found for path, found in others.items() if found}
