"""A result that was downloaded by hand: every way of writing it gives the same table."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table
from skyserver_replies import FIRST_OBJID, FIRST_SPECOBJID, reply_text, served_rows, write_reply

from mgsflow.core.errors import UserError
from mgsflow.sky.columns import COLUMNS
from mgsflow.sky.reply import parse_reply, read_reply, specobjids

BEYOND = 10133099161583616000  # specobjid of a plate of 9000: more than int64 holds


def galaxies(n: int = 5) -> pd.DataFrame:
    """Rows of which one has no measurement of galSpec's, and one a missing magnitude."""
    rows = served_rows(n)
    rows["z"] = 0.01 * np.arange(1, n + 1)
    rows["class"] = ["QSO", *["GALAXY"] * (n - 1)]
    rows.loc[1, ["v_disp", "reliable", "bptclass", "lgm_tot_p50"]] = np.nan
    rows.loc[2, "modelMag_u"] = -9999.0
    return rows.astype({"reliable": "Int64", "bptclass": "Int64"})


def csv_text(rows: pd.DataFrame | None = None, **options) -> str:
    return (galaxies() if rows is None else rows).to_csv(index=False, **options)


def fits_bytes(rows: pd.DataFrame | None = None, **columns) -> bytes:
    rows = galaxies() if rows is None else rows
    table = Table()
    for name in rows:
        if rows[name].dtype == "Int64":
            mask = rows[name].isna().to_numpy()
            table[name] = MaskedColumn(rows[name].fillna(0).to_numpy(np.int64), mask=mask)
        else:
            table[name] = rows[name].to_numpy(str if name == "class" else rows[name].dtype)
    for name, values in columns.items():
        table[name] = values
    stream = io.BytesIO()
    table.write(stream, format="fits")
    return stream.getvalue()


def upper(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.rename(columns=str.upper)


WAYS = {
    "CSV": lambda: csv_text(),
    "as SkyServer": lambda: "#Table1\n" + csv_text(),
    "gzipped": lambda: gzip.compress(csv_text().encode()),
    "names in capitals": lambda: csv_text(upper(galaxies())),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + csv_text().encode(),
    "a mark above the first line": lambda: b"\xef\xbb\xbf#Table1\r\n" + csv_text().encode(),
    "lines of Windows": lambda: csv_text(lineterminator="\r\n").encode(),
    "all quoted": lambda: csv_text(quoting=1),
    "null": lambda: csv_text(na_rep="null"),
    "NULL, quoted": lambda: csv_text(na_rep="NULL", quoting=1),
    "no line's end at the end": lambda: csv_text().rstrip("\n"),
    "columns in another order": lambda: csv_text(galaxies()[sorted(COLUMNS)]),
    "a column more": lambda: csv_text(galaxies().assign(note="a, b")),
    "FITS": lambda: fits_bytes(),
    "FITS, gzipped": lambda: gzip.compress(fits_bytes()),
    "FITS, names in capitals": lambda: fits_bytes(
        upper(galaxies()).rename(columns={"CLASS": "class"})
    ),
    "FITS, identifiers as text": lambda: fits_bytes(
        specobjid=galaxies()["specobjid"].to_numpy(str), objid=galaxies()["objid"].to_numpy(str)
    ),
    "FITS, identifiers without sign": lambda: fits_bytes(
        specobjid=galaxies()["specobjid"].to_numpy(np.uint64)
    ),
    "FITS, an array more": lambda: fits_bytes(extra=np.zeros((5, 3))),
}


def write(folder, content: str | bytes, name: str = "result"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_the_result_gives_the_same_table(tmp_path, way):
    table = read_reply(write(tmp_path, WAYS[way]()))
    expected = read_reply(write_reply(tmp_path / "reply", galaxies()[:2], galaxies()[2:]))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert table["objid"].dtype == table["specobjid"].dtype == np.int64
    assert table["objid"].tolist() == [FIRST_OBJID + i for i in range(5)]
    assert table["velocity_dispersion"].isna().tolist() == [False, True, False, False, False]
    assert table["reliable"].isna().tolist() == [False, True, False, False, False]
    assert table["mag_u"].isna().tolist() == [False, False, True, False, False]
    assert table["class"].tolist() == ["QSO", *["GALAXY"] * 4]


@pytest.mark.parametrize("write_rows", [csv_text, fits_bytes])
def test_rows_in_any_order_and_repeated_are_all_read(tmp_path, write_rows):
    rows = galaxies().iloc[[4, 0, 2, 2, 1, 3]].reset_index(drop=True)
    table = read_reply(write(tmp_path, write_rows(rows)))
    assert table["objid"].tolist() == rows["objid"].tolist()


def without(name: str) -> pd.DataFrame:
    return galaxies().drop(columns=name)


def rounded() -> pd.DataFrame:
    rows = galaxies()
    return rows.assign(objid=(rows["objid"] * 7).astype(float).astype(np.int64))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: "<!DOCTYPE html><html>Login</html>", "not a reply.*DOCTYPE.*error page"),
        (lambda: "Invalid object name 'galSpecInfo'.", "not a reply.*Invalid object name"),
        (lambda: "", "not a reply"),
        (lambda: b"PK\x03\x04zipped", "not a reply.*PK"),
        (lambda: csv_text(without("oh_p50")), "no column oh_p50; it has objid.*mgsflow sql"),
        (lambda: "#Table1\n" + csv_text(without("oh_p50")), "no column oh_p50; it has objid"),
        (lambda: csv_text(galaxies().assign(OBJID=1)), "column objid is there twice"),
        (lambda: csv_text()[:-60], "line 6: .* fields, not 56.*cut off"),
        (lambda: csv_text(galaxies().iloc[:0]), "holds no rows"),
        (lambda: gzip.compress(csv_text().encode())[:-50], "cannot be read.*Download it again"),
        (lambda: csv_text(rounded()), "digits were lost.*with a spreadsheet"),
        (
            lambda: csv_text().replace(str(FIRST_OBJID + 2), "1.23765E+18"),
            r"objid, row 3: '1.23765E\+18'.*with a spreadsheet",
        ),
        (lambda: csv_text().replace(str(FIRST_OBJID), str(BEYOND)), "objid: .*beyond int64"),
        (lambda: csv_text().replace(",8.9,", ",high,", 1), "oh_p50, row 1: 'high' is not a number"),
        (lambda: csv_text().replace(",752,", ",,", 1), "column run, row 1: nan is not an integer"),
        (lambda: fits_bytes()[:-2880], "cannot be read as FITS.*Download it again"),
        (lambda: fits_bytes()[:200], "cannot be read as FITS"),
        (lambda: fits_bytes(without("oh_p50")), "no column oh_p50"),
        (lambda: fits_bytes(rounded()), "digits were lost"),
        (lambda: fits_bytes(objid=galaxies()["objid"].to_numpy(float)), "floating-point"),
        (lambda: fits_bytes(objid=np.full(5, BEYOND, np.uint64)), "beyond int64"),
        (
            lambda: fits_bytes(oh_p50=np.array(["8.9"] * 4 + ["high"])),
            "row 5: 'high' is not a number",
        ),
    ],
)
def test_what_is_incomplete_or_another_result_is_refused_in_words(tmp_path, content, words):
    path = write(tmp_path, content())
    with pytest.raises(UserError, match=words) as error:
        read_reply(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("write_rows", [csv_text, fits_bytes])
def test_a_specobjid_beyond_int64_is_missing_and_the_others_stay(tmp_path, write_rows):
    rows = galaxies()
    rows["specobjid"] = np.array([*rows["specobjid"][:4], BEYOND], dtype=np.uint64)
    table = read_reply(write(tmp_path, write_rows(rows)))
    assert table["specobjid"].tolist() == [*galaxies()["specobjid"][:4], -1]


def test_chunks_follow_each_other_by_all_digits_of_specobjid():
    rows = served_rows(2)
    rows["specobjid"] = np.array([FIRST_SPECOBJID, BEYOND], dtype=np.uint64)
    assert specobjids(reply_text(rows), "reply") == [FIRST_SPECOBJID, BEYOND]
    assert parse_reply(reply_text(rows), "reply")["specobjid"].tolist() == [FIRST_SPECOBJID, -1]
