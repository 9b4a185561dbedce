"""Catalogues of the user's own: formats, units, missing values, and identifiers that are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table

from mgsflow.config import Catalogue
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.sky.catalogue import read_catalogue
from mgsflow.sky.conversion import convert

OBJID = 1237648674532688079 + 77 * np.arange(6, dtype=np.int64)
TABLE = pd.DataFrame(
    {
        "id": OBJID,
        "kind": ["GALAXY", "STAR", "GALAXY", "QSO", "GALAXY", "GALAXY"],
        "cz": [3000.0, 10.0, 6000.0, 90000.0, -9999.0, 29979.2458],
        "sfr": [1.0, 2.0, 0.0, 10.0, -9999.0, 100.0],
        "g": [17.0, 18.0, 19.0, -99.0, 16.0, np.nan],
    }
)
COLUMNS = {"objid": "id", "redshift": "cz", "log_sfr": "sfr", "mag_g": "g"}
UNITS = {"redshift": "km / s", "log_sfr": "Msun / yr"}


def write(folder, kind: str, table: pd.DataFrame = TABLE):
    path = folder / f"catalogue.{kind}"
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "parquet":
        table.to_parquet(path)
    else:
        Table.from_pandas(table).write(path)
    return path


def read(path, kind="parquet", **others) -> pd.DataFrame:
    settings = {"columns": COLUMNS, "units": UNITS} | others
    return read_catalogue(Catalogue(path=str(path), format=kind, **settings), path)[0]


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits"])
def test_all_formats_give_the_same_table(tmp_path, kind):
    table = read(write(tmp_path, kind), kind)
    assert table["objid"].dtype == np.int64
    assert table["objid"].tolist() == OBJID.tolist()
    np.testing.assert_allclose(table["redshift"][5], 0.1, rtol=1e-6)  # cz / c
    np.testing.assert_allclose(table["log_sfr"], [0, np.log10(2), np.nan, 1, np.nan, 2], atol=1e-12)
    np.testing.assert_array_equal(table["mag_g"], [17, 18, 19, np.nan, 16, np.nan])


def test_a_reply_saved_by_hand_may_keep_its_first_line(tmp_path):
    path = write(tmp_path, "csv")
    path.write_text("#Table1\n" + path.read_text())
    assert read(path, "csv")["objid"].tolist() == OBJID.tolist()


def test_a_quantity_without_a_logarithm_is_counted(tmp_path):
    path = write(tmp_path, "parquet")
    table, ledger = read_catalogue(Catalogue(columns=COLUMNS, units=UNITS), path)
    ledger.write(tmp_path / "dropped.parquet", len(table))
    noted = read_account(tmp_path / "dropped.parquet")[1]["noted"]
    assert list(noted.values()) == [1]  # the SFR of 0; -9999 was missing before
    assert "log_sfr" in next(iter(noted))


def test_rows_that_where_excludes_are_dropped_and_counted(tmp_path):
    path = write(tmp_path, "csv")
    where = {"kind": ["GALAXY"], "g": [16.5, 18.5]}
    table, ledger = read_catalogue(Catalogue(columns=COLUMNS, format="csv", where=where), path)
    assert table["objid"].tolist() == OBJID[[0]].tolist()
    ledger.write(tmp_path / "dropped.parquet", len(table))
    reasons, totals = read_account(tmp_path / "dropped.parquet")
    assert totals["came"] == 6 and totals["kept"] == 1
    assert reasons["objid"].tolist() == OBJID[[1, 3, 2, 4, 5]].tolist()
    assert reasons["reason"].nunique() == 2


@pytest.mark.parametrize(
    ("values", "name", "unit", "expected"),
    [
        ([1.0, 1e10], "log_stellar_mass", "Msun", [0, 10]),
        ([1.98841e30], "log_stellar_mass", "kg", [0]),
        ([10.0], "log_stellar_mass", "dex(Msun)", [10]),
        ([3.0], "flux_h_alpha", "1e-15 erg / (s cm2)", [300]),
        ([3.0], "flux_h_alpha", "1e-20 W / m2", [3]),
        ([12.0], "ra", "hourangle", [180]),
        ([299792.458], "redshift", "km / s", [1]),
        ([0.25], "redshift", "", [0.25]),
        ([1.0, 100.0, -1.0], "mag_r", "nanomaggy", [22.5, 17.5, np.nan]),
        ([0.05], "velocity_dispersion", "Mm / s", [50]),
    ],
)
def test_units_become_ours(values, name, unit, expected):
    np.testing.assert_allclose(
        convert(np.array(values), name, unit), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("error", "name", "unit", "value", "expected"),
    [
        (0.1, "mag_err_g", "mag", 17.0, 0.1),
        (1.0, "mag_err_g", "nanomaggy", 17.5, 2.5 / np.log(10) / 100),  # of 100 nanomaggies
        (1e-9, "mag_err_g", "maggy", 17.5, 2.5 / np.log(10) / 100),
        (0.2, "log_sfr_err", "dex", 1.0, 0.2),
        (2.0, "log_sfr_err", "Msun / yr", 1.0, 0.2 / np.log(10)),
        (1e9, "log_stellar_mass_err", "Msun", 10.0, 0.1 / np.log(10)),
    ],
)
def test_errors_become_those_of_the_logarithm(error, name, unit, value, expected):
    values, quantity = np.array([error, np.nan, error]), np.array([value, value, np.nan])
    found = convert(values, name, unit, quantity)
    np.testing.assert_allclose(found[:1], expected, rtol=1e-6)
    assert np.isnan(found[1])
    if unit in ("nanomaggy", "Msun / yr"):
        assert np.isnan(found[2])
        with pytest.raises(UserError, match=r"catalogue\.units\..*Name the column of"):
            convert(values, name, unit)


def test_an_error_is_read_with_its_quantity_whatever_the_order(tmp_path):
    table = TABLE.assign(flux=[100.0, 10.0, 0.0, 1.0, 1.0, 1.0], error=1.0)
    columns = {"objid": "id", "mag_err_g": "error", "mag_g": "flux"}
    units = {"mag_g": "nanomaggy", "mag_err_g": "nanomaggy"}
    read_table = read(write(tmp_path, "parquet", table), columns=columns, units=units)
    assert list(read_table) == list(columns)
    np.testing.assert_allclose(read_table["mag_g"][:2], [17.5, 20.0])
    slope = 2.5 / np.log(10)
    np.testing.assert_allclose(read_table["mag_err_g"][:3], [slope / 100, slope / 10, np.nan])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("ra", "km"),
        ("log_sfr", "Msun"),
        ("mag_r", "furlong"),
        ("redshift", "Jy"),
        ("mag_err_r", "furlong"),
        ("log_sfr_err", "Msun"),
    ],
)
def test_units_that_do_not_agree_are_refused(name, unit):
    with pytest.raises(UserError, match=f"catalogue.units.{name}"):
        convert(np.ones(2), name, unit)


def rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(float).astype(np.int64)


@pytest.mark.parametrize(
    ("identifiers", "words"),
    [
        (OBJID.astype(float), "floating-point.*objid: null"),
        ([f"{value:.5E}" for value in OBJID], r"row 1: '1.23765E\+18'.*objid: null"),
        (rounded(OBJID * 7), "digits were lost.*objid: null"),
        (np.repeat(OBJID[:3], 2), "6 of 6 rows share.*objid: null"),
        ([*OBJID[:5], 10**19], "beyond int64"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_identifiers_that_lost_their_digits_are_refused(tmp_path, kind, identifiers, words):
    if kind == "parquet" and isinstance(identifiers, list) and 10**19 in identifiers:
        identifiers = np.array(identifiers, dtype=np.uint64)
    path = write(tmp_path, kind, TABLE.assign(id=identifiers))
    if kind == "csv" and words.startswith("floating"):
        words = "objid: null"  # to_csv writes 1.2376486745326881e+18
    with pytest.raises(UserError, match=words):
        read(path, kind)


def test_rows_without_an_identifier_can_be_numbered(tmp_path):
    path = write(tmp_path, "parquet", TABLE.assign(id=OBJID.astype(float)))
    table = read(path, columns=COLUMNS | {"objid": None}, where={"kind": ["GALAXY"]})
    assert table["objid"].tolist() == [1, 3, 5, 6]


@pytest.mark.parametrize("none", [0, -999])
def test_an_identifier_of_none_is_missing(tmp_path, none):
    table = read(write(tmp_path, "parquet", TABLE.assign(id=[none, *OBJID[1:]])))
    assert table["objid"].tolist() == [-1, *OBJID[1:]]


def test_integers_with_gaps_keep_their_digits(tmp_path):
    gaps = pd.array([*OBJID[:5], None], dtype="Int64")
    assert read(write(tmp_path, "parquet", TABLE.assign(id=gaps)))["objid"].tolist() == [
        *OBJID[:5],
        -1,
    ]
    fits = Table.from_pandas(TABLE)
    fits["id"] = MaskedColumn(OBJID, mask=[0, 0, 0, 0, 0, 1])
    fits["g"] = MaskedColumn(TABLE["g"], mask=[1, 0, 0, 0, 0, 0])
    fits.write(tmp_path / "gaps.fits")
    table = read(tmp_path / "gaps.fits", "fits")
    assert table["objid"].tolist() == [*OBJID[:5], -1]
    assert np.isnan(table["mag_g"][0]) and table["mag_g"][1] == 18


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"columns": COLUMNS | {"mag_r": "r"}}, "no column r, .*It has: id, kind, cz, sfr, g"),
        ({"where": {"type": ["GALAXY"]}}, "no column type"),
        ({"columns": {"mag_g": "g"}, "units": {}}, "columns.objid: name the column"),
        ({"columns": COLUMNS | {"mag_r": "kind"}}, "column kind, row 1: 'GALAXY' is not a number"),
        ({"columns": COLUMNS | {"log_black_hole_mass": "g"}}, "derives it"),
        ({"units": {"mag_r": "mag"}}, "catalogue.columns does not"),
        ({"where": {"g": [16.0]}}, "neither a list of texts nor"),
        ({"units": {"redshift": "Jy"}}, "catalogue.units.redshift"),
    ],
)
def test_wrong_settings_are_refused_with_the_files_columns(tmp_path, others, words):
    with pytest.raises(UserError, match=words):
        read(write(tmp_path, "parquet"), **others)


@pytest.mark.parametrize("kind", ["parquet", "fits"])
def test_a_file_of_another_format_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match=f"cannot be read as {kind}.*catalogue.format"):
        read(write(tmp_path, "csv"), kind)


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "nowhere.parquet")
    with pytest.raises(UserError, match="holds no rows"):
        read(write(tmp_path, "parquet", TABLE.iloc[:0]))


def test_the_real_export_is_refused_as_keys_and_can_be_numbered(real_data):
    path = real_data / "skyserver_dr14_ugriz_redshift.csv"
    columns = {"objid": "objid", "redshift": "redshift"}
    settings = Catalogue(columns=columns, format="csv", where={"class": ["GALAXY"]})
    with pytest.raises(UserError, match="digits are lost"):
        read_catalogue(settings, path)
    numbered = settings.model_copy(update={"columns": columns | {"objid": None}})
    table, ledger = read_catalogue(numbered, path)
    raw = pd.read_csv(path)
    assert len(table) == (raw["class"] == "GALAXY").sum()
    assert ledger.came == len(raw)
    np.testing.assert_array_equal(
        table["redshift"], raw["redshift"].to_numpy()[table["objid"].to_numpy() - 1]
    )


def test_resolve_is_read_with_its_units(real_data):
    path = real_data / "resolve.parquet"
    columns = {"objid": "sdss_dr12_objid", "redshift": "cz", "log_sfr": "sfr_nuv"}
    table, _ = read_catalogue(Catalogue(columns=columns, units=UNITS), path)
    assert table["redshift"].between(0.014, 0.025).all()
    assert table["log_sfr"].between(-5, 2).all()
    assert (table["objid"] == -1).sum() == 1
