"""Magnitudes and colours: what is missing, dereddening, and K-corrections that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mgsflow.config import Photometry
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.surveys import SDSS
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.kcorrection import rest_frame_magnitudes
from mgsflow.sample.photometry import photometry

RED = np.array([19.7, 17.8, 16.8, 16.4, 16.1])  # an early-type galaxy at z = 0.1
BLUE = np.array([18.0, 17.1, 16.7, 16.5, 16.4])  # a late-type one


def galaxies(n: int = 3, **columns) -> pd.DataFrame:
    table = pd.DataFrame({"objid": np.arange(1, n + 1, dtype=np.int64), "redshift": 0.1})
    for i, band in enumerate(SDSS.bands):
        table[f"mag_{band}"] = RED[i]
        table[f"mag_err_{band}"] = 0.02
        table[f"extinction_{band}"] = 0.25 - 0.05 * i
    return table.assign(**columns)


def run(folder, table: pd.DataFrame, rest_frame: bool = False, **settings):
    write_table(folder / "selected.parquet", table)
    photometry(
        selected=folder / "selected.parquet",
        photometry=Photometry(**settings),
        rest_frame=rest_frame,
        out=folder / "photometry.parquet",
        dropped=folder / "dropped.parquet",
    )
    return read_table(folder / "photometry.parquet"), read_account(folder / "dropped.parquet")[1]


def test_magnitudes_and_colours_are_dereddened(tmp_path):
    table, _ = run(tmp_path, galaxies())
    np.testing.assert_allclose(table["mag_u"], 19.45)
    np.testing.assert_allclose(table["colour_u_g"], 1.9 - 0.05)
    bare, totals = run(tmp_path, galaxies(), deredden=False)
    np.testing.assert_allclose(bare["mag_u"], 19.7)
    np.testing.assert_allclose(bare["colour_u_g"], 1.9)
    assert totals["noted"] == {}


def test_a_catalogue_without_extinction_is_taken_as_it_is_and_said_to_be(tmp_path):
    table, totals = run(tmp_path, galaxies().drop(columns="extinction_u"))
    np.testing.assert_allclose(table["mag_u"], 19.7)
    assert totals["noted"] == {"mag_u not dereddened, since there is no extinction_u": 3}


@pytest.mark.parametrize("bad", [0.0, 99.0, -9999.0, 28.18, np.nan, np.inf])
def test_absurd_magnitudes_are_missing_with_their_colours_and_counted(tmp_path, bad):
    table, totals = run(tmp_path, galaxies(mag_g=[17.8, bad, 17.8]))
    columns = ["mag_g", "colour_u_g", "colour_g_r"]
    assert table[columns].isna().all(axis=1).tolist() == [False, True, False]
    assert table.drop(columns=columns).notna().all(axis=None)
    assert totals["noted"] == {"mag_g missing or outside 5.0 to 28.0": 1}
    assert totals["kept"] == 3


def test_a_missing_extinction_makes_the_magnitude_missing(tmp_path):
    table, totals = run(tmp_path, galaxies(extinction_r=[0.1, np.nan, 0.1]))
    assert table["mag_r"].isna().tolist() == [False, True, False]
    assert totals["noted"] == {"mag_r missing, since extinction_r is": 1}


def test_bands_that_are_not_adjacent_are_described_too(tmp_path):
    table, _ = run(tmp_path, galaxies(), bands=["g", "r", "z"])
    assert list(table) == ["objid", "mag_g", "mag_r", "mag_z", "colour_g_r", "colour_r_z"]
    field = pq.read_schema(tmp_path / "photometry.parquet").field("colour_r_z")
    assert field.metadata[b"unit"] == b"mag"


def test_a_band_that_the_catalogue_lacks_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no magnitudes in u, z.*photometry.bands"):
        run(tmp_path, galaxies().drop(columns=["mag_u", "mag_z"]))


def test_rest_frame_colours_need_a_redshift_and_all_bands(tmp_path):
    with pytest.raises(UserError, match="redshift, which the catalogue lacks"):
        run(tmp_path, galaxies().drop(columns="redshift"), rest_frame=True)
    with pytest.raises(UserError, match="all of u, g, r, i, z"):
        run(tmp_path, galaxies(), rest_frame=True, bands=["g", "r", "i"])


def test_rest_frame_colours_of_a_red_galaxy_are_bluer_than_observed(tmp_path):
    table = galaxies(4, mag_u=[19.7, 99.0, 19.7, 19.7], redshift=[0.1, 0.1, np.nan, 0.1])
    kept, totals = run(tmp_path, table, rest_frame=True)
    rest = kept.filter(like="rest_colour_")
    assert rest.notna().all(axis=1).tolist() == [True, False, False, True]
    assert totals["noted"]["no rest-frame colours: a band or the redshift is missing"] == 2
    # the 4000 Angstrom break moves through g: early types redden by some 0.15 mag at z = 0.1
    shift = kept["colour_g_r"] - kept["rest_colour_g_r"]
    assert 0.10 < shift[0] < 0.25
    assert (rest.loc[0] == rest.loc[3]).all()


def test_a_galaxys_rest_frame_does_not_depend_on_the_others():
    errors = np.full((1, 5), 0.02)
    alone = rest_frame_magnitudes(RED[None], errors, np.array([0.1]), True)
    together = rest_frame_magnitudes(
        np.array([RED, BLUE]), np.repeat(errors, 2, axis=0), np.array([0.1, 0.28]), True
    )
    np.testing.assert_allclose(alone[0], together[0], atol=1e-6)


def test_at_redshift_nought_rest_frame_is_observed_and_k_corrections_grow():
    errors = np.full((4, 5), 0.02)
    redshift = np.array([0.0, 0.05, 0.15, 0.25])
    shift = RED - rest_frame_magnitudes(np.repeat(RED[None], 4, axis=0), errors, redshift, True)
    assert np.abs(shift[0]).max() < 0.01
    assert (np.diff(shift[:, 1]) > 0).all()  # in g the 4000 Angstrom break moves in
    blue = BLUE - rest_frame_magnitudes(np.repeat(BLUE[None], 4, axis=0), errors, redshift, True)
    assert (blue[1:, 1] < shift[1:, 1]).all()


def test_catalogues_without_errors_say_which_error_was_taken(tmp_path):
    table = galaxies().drop(columns=[f"mag_err_{band}" for band in SDSS.bands])
    kept, totals = run(tmp_path, table, rest_frame=True)
    assert kept["rest_colour_g_r"].notna().all()
    assert totals["noted"]["rest-frame fits with errors of 0.03 mag"] == 3
