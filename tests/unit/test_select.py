"""The selection: each cut, its reason, and what no order of arrival may change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skyserver_replies import FIRST_OBJID, FIRST_SPECOBJID, served_rows, write_reply

from mgsflow.config import Catalogue, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import read_table
from mgsflow.sample.cuts import surface_brightness
from mgsflow.sample.select import select


def run(folder, *parts, seed=1, **selection):
    """selected.parquet, and the ledger, of a reply of these chunks."""
    select(
        reply=write_reply(folder / "reply", *parts),
        sky="sdss",
        catalogue=Catalogue(),
        selection=Selection(**({"sample_size": None} | selection)),
        seed=seed,
        out=folder / "selected.parquet",
        dropped=folder / "dropped.parquet",
    )
    return read_table(folder / "selected.parquet"), *read_account(folder / "dropped.parquet")


CUTS = {
    "class is not GALAXY": {"class": "QSO"},
    "zWarning is not 0": {"zWarning": 4},
    "not the legacy survey's primary spectrum (legacyPrimary)": {"legacyPrimary": 0},
    "not a target of the Main Galaxy Sample (legacy_target1)": {"legacy_target1": 32 | 512},
    "galSpec is not reliable": {"reliable": 0},
    "photometry is not clean": {"clean": 0},
    "redshift is missing": {"z": -9999},
    "redshift is below 0.002": {"z": 0.0019},
    "redshift is above 0.3": {"z": 0.31},
    "Petrosian r is missing": {"petroMag_r": -9999},
    "Petrosian r is fainter than 17.77": {"petroMag_r": 17.88},  # extinction is 0.1
    "surface brightness in r is fainter than 24.5 or missing": {"petroR50_r": 14.0},
    "it has no identifier (objid)": {"objid": 0},
    "another row has the same objid": {"objid": FIRST_OBJID},
}


@pytest.mark.parametrize("reason", CUTS)
def test_each_cut_drops_its_row_for_its_reason(tmp_path, reason):
    rows = served_rows(3)
    for name, value in CUTS[reason].items():
        rows.loc[1, name] = value
    table, entries, totals = run(tmp_path, rows)
    assert entries["reason"].tolist() == [reason]
    assert table["objid"].tolist() == [FIRST_OBJID, FIRST_OBJID + 2]
    assert totals["came"] == 3 and totals["kept"] == 2


@pytest.mark.parametrize(
    "values",
    [
        {"legacy_target1": 128},
        {"legacy_target1": 256 | 4},
        {"petroMag_r": 17.86},
        {"z": 0.3},
        {"z": 0.002},
    ],
)
def test_a_row_at_the_limit_stays(tmp_path, values):
    rows = served_rows(2)
    for name, value in values.items():
        rows.loc[1, name] = value
    assert len(run(tmp_path, rows)[0]) == 2


def test_surface_brightness_is_that_of_half_the_flux_in_half_the_area():
    table = pd.DataFrame({"petro_mag_r": [17.5], "extinction_r": [0.1], "petro_r50_r": [2.0]})
    half = 17.4 + 2.5 * np.log10(2)
    np.testing.assert_allclose(surface_brightness(table), half + 2.5 * np.log10(np.pi * 4))


def test_of_two_spectra_the_first_stays_whatever_comes_first(tmp_path):
    rows = served_rows(4)
    rows.loc[3, ["objid", "specobjid"]] = rows.loc[1, "objid"], FIRST_SPECOBJID - 1024
    rows.loc[3, "z"] = 0.2
    rows.loc[1, "z"] = 0.15
    table, entries, _ = run(tmp_path / "a", rows)
    again, _, _ = run(tmp_path / "b", rows.iloc[::-1])
    assert table.loc[1, "redshift"] == 0.2
    pd.testing.assert_frame_equal(table, again)
    assert entries["objid"].tolist() == [rows.loc[1, "objid"]]


def test_a_bad_second_spectrum_does_not_displace_a_good_one(tmp_path):
    rows = served_rows(2)
    rows["objid"] = FIRST_OBJID
    rows.loc[0, "zWarning"] = 1
    rows.loc[1, "z"] = 0.2
    assert run(tmp_path, rows)[0]["redshift"].tolist() == [0.2]


def test_the_choice_depends_on_the_seed_and_not_on_the_chunks(tmp_path):
    rows = served_rows(300)
    table, entries, _ = run(tmp_path / "a", rows, sample_size=100)
    shuffled = rows.sample(frac=1, random_state=3)
    again, _, _ = run(tmp_path / "b", shuffled[:7], shuffled[7:], sample_size=100)
    other, _, _ = run(tmp_path / "c", rows, sample_size=100, seed=2)
    assert len(table) == 100 and len(entries) == 200
    pd.testing.assert_frame_equal(table, again)
    shared = len(set(table["objid"]) & set(other["objid"]))
    assert 15 < shared < 55  # 33 expected of two independent choices
    smaller, _, _ = run(tmp_path / "d", rows, sample_size=40)
    assert set(smaller["objid"]) < set(table["objid"])


def test_the_table_is_in_our_names_sorted_and_without_selection_columns(tmp_path):
    table, _, _ = run(tmp_path, served_rows(5).iloc[::-1])
    assert table["objid"].is_monotonic_increasing
    assert {"ra", "run", "mag_u", "extinction_z", "flux_oiii_5007_err"} <= set(table)
    assert not {"class", "z_warning", "clean", "specobjid"} & set(table)
    assert table["run"].dtype == np.int64


def test_an_empty_sample_is_an_error_that_names_the_reasons(tmp_path):
    with pytest.raises(UserError, match=r"no galaxy is left of 3.*redshift is above 0\.05"):
        run(tmp_path, served_rows(3), redshift_max=0.05)
    assert not (tmp_path / "selected.parquet").exists()


def own_catalogue(folder, table: pd.DataFrame, **selection):
    path = folder / "own.parquet"
    table.to_parquet(path)
    columns = {name: name for name in table}
    select(
        source=path,
        sky="catalogue",
        catalogue=Catalogue(path=str(path), columns=columns),
        selection=Selection(**({"sample_size": None} | selection)),
        seed=1,
        out=folder / "selected.parquet",
        dropped=folder / "dropped.parquet",
    )
    return read_table(folder / "selected.parquet"), *read_account(folder / "dropped.parquet")


def test_cuts_without_their_columns_are_skipped_and_said_to_be(tmp_path, capsys):
    own = pd.DataFrame({"objid": [3, 1, 2], "redshift": [0.1, 0.4, 0.2]})
    table, entries, totals = own_catalogue(tmp_path, own)
    assert table["objid"].tolist() == [2, 3]
    assert entries["reason"].tolist() == ["redshift is above 0.3"]
    (note,) = totals["noted"]
    assert "class" in note and "petro_mag_r" in note and "redshift" not in note
    assert note in capsys.readouterr().err


def test_a_catalogue_without_extinction_is_cut_at_its_own_magnitude(tmp_path):
    own = pd.DataFrame({"objid": [1, 2], "petro_mag_r": [17.76, 17.78]})
    assert own_catalogue(tmp_path, own)[0]["objid"].tolist() == [1]


def test_a_few_duplicates_are_dropped_and_counted(tmp_path):
    own = pd.DataFrame({"objid": [*range(1, 30), 7], "redshift": 0.1})
    table, entries, _ = own_catalogue(tmp_path, own)
    assert len(table) == 29 and entries["objid"].tolist() == [7]


def test_a_sky_without_its_reply_is_an_error(tmp_path):
    with pytest.raises(UserError, match="--reply"):
        select(
            sky="sdss", catalogue=Catalogue(), selection=Selection(), seed=1,
            out=tmp_path / "a", dropped=tmp_path / "b",
        )  # fmt: skip
