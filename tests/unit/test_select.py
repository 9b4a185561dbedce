"""The selection: each cut, its reason, and what no order of arrival may change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from skyserver_replies import FIRST_OBJID, FIRST_SPECOBJID, served_rows, write_reply

from mgsflow.config import Catalogue, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger, read_account
from mgsflow.core.tables import read_table
from mgsflow.sample.cuts import separation, surface_brightness
from mgsflow.sample.select import _choose, select


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
    "not a target of bit 64 or 128 or 256 (legacy_target1)": {"legacy_target1": 32 | 512},
    "galSpec is not reliable": {"reliable": 0},
    "farther than 3 arcsec from the spectrum's fibre, or without position": {"fiber_dec": 0.10084},
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


# What switches a cut off; the other reasons are no settings, or need a column.
SWITCHES = {
    "class is not GALAXY": {"spectral_class": None},
    "zWarning is not 0": {"good_redshift": False},
    "not the legacy survey's primary spectrum (legacyPrimary)": {"legacy_primary": False},
    "not a target of bit 64 or 128 or 256 (legacy_target1)": {"target_bits": []},
    "galSpec is not reliable": {"reliable": False},
    "farther than 3 arcsec from the spectrum's fibre, or without position": {"match_radius": None},
    "photometry is not clean": {"clean_photometry": False},
    "redshift is below 0.002": {"redshift_min": 0.0},
    "redshift is above 0.3": {"redshift_max": 0.4},
    "Petrosian r is missing": {"petro_mag_r_max": None, "surface_brightness_max": None},
    "Petrosian r is fainter than 17.77": {"petro_mag_r_max": None},
    "surface brightness in r is fainter than 24.5 or missing": {"surface_brightness_max": None},
}


def spoiled(reason: str) -> pd.DataFrame:
    rows = served_rows(3)
    for name, value in CUTS[reason].items():
        rows.loc[1, name] = value
    return rows


@pytest.mark.parametrize("reason", CUTS)
def test_each_cut_drops_its_row_for_its_reason(tmp_path, reason):
    table, entries, totals = run(tmp_path, spoiled(reason))
    assert entries["reason"].tolist() == [reason]
    assert table["objid"].tolist() == [FIRST_OBJID, FIRST_OBJID + 2]
    assert totals["came"] == 3 and totals["kept"] == 2


@pytest.mark.parametrize("reason", SWITCHES)
def test_a_cut_that_is_switched_off_drops_nothing(tmp_path, reason):
    table, entries, _ = run(tmp_path, spoiled(reason), **SWITCHES[reason])
    assert len(table) == 3 and entries.empty


def test_the_class_and_the_bits_are_those_of_the_settings(tmp_path):
    rows = served_rows(3)
    rows["class"] = ["QSO", "GALAXY", "QSO"]
    rows["legacy_target1"] = [4, 4, 64]
    table, entries, _ = run(tmp_path, rows, spectral_class="QSO", target_bits=[4, 32])
    assert table["objid"].tolist() == [FIRST_OBJID]
    assert entries["reason"].tolist() == [
        "class is not QSO",
        "not a target of bit 4 or 32 (legacy_target1)",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"legacy_target1": 128},
        {"legacy_target1": 256 | 4},
        {"petroMag_r": 17.86},
        {"z": 0.3},
        {"z": 0.002},
        {"fiber_dec": 0.10083},
    ],
)
def test_a_row_at_the_limit_stays(tmp_path, values):
    rows = served_rows(2)
    for name, value in values.items():
        rows.loc[1, name] = value
    assert len(run(tmp_path, rows)[0]) == 2


@pytest.mark.parametrize(
    ("first", "second", "arcsec"),
    [
        ((180.0, 0.0), (180.0, 1 / 3600), 1.0),
        ((180.0, 60.0), (180.0 + 2 / 3600, 60.0), 1.0),  # cos 60 deg
        ((359.9999, 0.0), (0.0001, 0.0), 0.72),
        ((10.0, 90.0), (190.0, 90.0), 0.0),
        ((10.0, 89.9999), (190.0, 89.9999), 0.72),  # across the pole
        ((0.0, 0.0), (180.0, 0.0), 180 * 3600),
        ((12.3, 45.6), (12.3, 45.6), 0.0),
    ],
)
def test_the_separation_is_that_on_the_sphere(first, second, arcsec):
    positions = [pd.Series([value]) for value in (*first, *second)]
    np.testing.assert_allclose(separation(*positions), [arcsec], rtol=1e-6, atol=1e-9)


def test_the_separation_is_astropys():
    random = np.random.default_rng(1)
    ra, dec = random.uniform(0, 360, 500), np.degrees(np.arcsin(random.uniform(-1, 1, 500)))
    ra2, dec2 = ra + random.normal(0, 0.01, 500), np.clip(dec + 0.001, -90, 90)
    theirs = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).arcsec
    ours = separation(*(pd.Series(values) for values in (ra, dec, ra2, dec2)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


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


def test_a_specobjid_beyond_int64_is_the_last_of_several(tmp_path):
    rows = served_rows(2)
    rows["objid"] = FIRST_OBJID
    rows["z"] = [0.2, 0.1]
    rows["specobjid"] = [10133099161583616000, FIRST_SPECOBJID]
    assert run(tmp_path, rows)[0]["redshift"].tolist() == [0.1]


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


def in_fields(rows: pd.DataFrame) -> pd.DataFrame:
    """Three galaxies a field, strewn over runs and columns; the fields' numbers repeat."""
    field = np.arange(len(rows)) // 3
    return rows.assign(run=94 + field // 60, camcol=1 + field // 10 % 6, field=11 + field % 10)


def fields_of(table: pd.DataFrame) -> pd.Series:
    return table.groupby(["run", "camcol", "field"]).size()


def test_whole_fields_are_chosen_until_the_sample_is_full(tmp_path):
    rows = in_fields(served_rows(900))
    by_field, entries, totals = run(tmp_path / "a", rows, sample_size=301, sample_by="field")
    assert len(by_field) == 301 and len(entries) == 599 and totals["came"] == 900
    sizes = fields_of(by_field)
    assert len(sizes) == 101 and sorted(sizes)[:2] == [1, 3]
    by_galaxy, _, _ = run(tmp_path / "b", rows, sample_size=301)
    assert len(fields_of(by_galaxy)) > 190  # of 300, 1 - (2/3)^3 have a galaxy


def test_the_choice_of_fields_depends_on_the_seed_and_not_on_order_or_chunks(tmp_path):
    rows = in_fields(served_rows(300))
    choice = {"sample_size": 100, "sample_by": "field"}
    table, _, _ = run(tmp_path / "a", rows, **choice)
    shuffled = rows.sample(frac=1, random_state=3)
    again, _, _ = run(tmp_path / "b", shuffled[:7], shuffled[7:200], shuffled[200:], **choice)
    pd.testing.assert_frame_equal(table, again)
    other, _, _ = run(tmp_path / "c", rows, seed=2, **choice)
    assert 10 < len(set(table["objid"]) & set(other["objid"])) < 60
    larger, _, _ = run(tmp_path / "d", rows, **(choice | {"sample_size": 200}))
    assert set(table["objid"]) < set(larger["objid"])


def test_a_choice_of_700_000_keeps_whole_fields():
    n = 700_000
    table = in_fields(pd.DataFrame({"objid": FIRST_OBJID + np.arange(n)})).sample(frac=1)
    chosen = _choose(table, Ledger("select", n), Selection(sample_by="field"), 1)
    assert len(chosen) == 250_000 and len(fields_of(chosen)) in (83_334, 83_335)


def test_fields_that_are_not_there_cannot_be_chosen(tmp_path):
    own = pd.DataFrame({"objid": [1, 2, 3], "redshift": 0.1, "run": [94, 94, 94]})
    with pytest.raises(UserError, match=r"no column camcol, field.*sample_by"):
        own_catalogue(tmp_path, own, sample_size=1, sample_by="field")
    own = own.assign(camcol=1, field=[11.0, np.nan, 11.0])
    table, entries, _ = own_catalogue(tmp_path, own, sample_size=2, sample_by="field")
    assert table["objid"].tolist() == [1, 3]
    assert entries["reason"].tolist() == ["it has no field (run, camcol, field)"]


def test_the_table_is_in_our_names_sorted_and_without_selection_columns(tmp_path):
    table, _, _ = run(tmp_path, served_rows(5).iloc[::-1])
    assert table["objid"].is_monotonic_increasing
    assert {"ra", "run", "mag_u", "extinction_z", "flux_oiii_5007_err"} <= set(table)
    assert not {"class", "z_warning", "clean", "specobjid", "fiber_ra"} & set(table)
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
