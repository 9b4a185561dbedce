"""SkyServer's replies: identifiers to the last digit, missing values, and what is no reply."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skyserver_replies import FIRST_OBJID, reply_text, served_rows, write_reply

from mgsflow.config import Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.quantities import LINE_FLUXES
from mgsflow.sky.columns import FIRST_LINE
from mgsflow.sky.reply import parse_reply, read_reply, reply_body
from mgsflow.sky.simulated.simulate_catalogue import simulate_catalogue


def test_identifiers_survive_to_the_last_digit(tmp_path):
    rows = served_rows(5)
    table = read_reply(write_reply(tmp_path, rows[:3], rows[3:]))
    assert table["objid"].dtype == np.int64
    assert table["objid"].tolist() == [FIRST_OBJID + i for i in range(5)]
    assert (rows["objid"].astype(float).astype(np.int64) != rows["objid"]).any()  # or it is no test


def test_columns_get_our_names_and_missing_values_are_nan():
    rows = served_rows(3)
    rows.loc[0, ["oh_p50", "h_alpha_flux_err"]] = -9999
    rows.loc[1, "petroMag_r"] = -1000
    rows.loc[2, "modelMag_u"] = np.nan  # an empty field, as null is served
    table = parse_reply(reply_text(rows), "reply")
    assert table["metallicity"].isna().tolist() == [True, False, False]
    assert table["flux_h_alpha_err"].isna().tolist() == [True, False, False]
    assert table["petro_mag_r"].isna().tolist() == [False, True, False]
    assert table["mag_u"].isna().tolist() == [False, False, True]
    assert table.loc[0, ["redshift", "velocity_dispersion"]].tolist() == [0.1, 120.0]
    assert set(LINE_FLUXES) < set(table)


def test_errors_are_half_of_what_lies_between_the_percentiles():
    rows = served_rows(3)
    rows.loc[0, ["sfr_tot_p16", "oh_p84"]] = -9999
    table = parse_reply(reply_text(rows), "reply")
    assert table["log_stellar_mass_err"].tolist() == pytest.approx([0.11] * 3)
    assert table["log_sfr_err"].tolist() == pytest.approx([np.nan, 0.25, 0.25], nan_ok=True)
    assert table["metallicity_err"].tolist() == pytest.approx([np.nan, 0.05, 0.05], nan_ok=True)
    assert not [name for name in table if name.endswith(("_p16", "_p84"))]


def test_a_reply_without_percentiles_is_one_as_well_and_has_no_errors():
    """As a result is that was downloaded before the query asked for them."""
    rows = served_rows(2)
    rows = rows[[name for name in rows if not name.endswith(("_p16", "_p84"))]]
    table = parse_reply(reply_text(rows), "reply")
    assert table["log_stellar_mass"].tolist() == [10.5, 10.5]
    assert "log_stellar_mass_err" not in table and "log_sfr_p16" not in table


def test_a_galaxy_without_an_object_has_the_missing_identifier():
    rows = served_rows(2)
    rows.loc[0, "objid"] = 0
    assert parse_reply(reply_text(rows), "reply")["objid"].tolist() == [-1, FIRST_OBJID + 1]


def test_sql_does_not_mind_the_case_of_a_column():
    rows = served_rows(2).rename(columns={"objid": "objID", "specobjid": "specObjID"})
    assert parse_reply(reply_text(rows), "reply")["objid"].tolist()[0] == FIRST_OBJID


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "<!DOCTYPE html><html>down</html>", "not a reply of SkyServer.*DOCTYPE"),
        (lambda text: "", "not a reply of SkyServer"),
        (lambda text: text.replace("#Table1\nobjid,", ""), "no column objid; it has specobjid"),
        (lambda text: text.replace(",oh_p50", ",oh_p16"), "no column oh_p50; it has objid"),
        (lambda text: text[:-80], "line 6: .* fields, not 56"),
        (lambda text: text.replace(str(FIRST_OBJID + 1), "1.23765E+18"), r"row 2: '1.23765E\+18'"),
        (
            lambda text: text.replace(",752,", ",752.5,"),
            "column run, row 1: 752.5 is not an integer",
        ),
        (
            lambda text: text.replace(",8.9,", ",high,", 1),
            "column oh_p50, row 1: 'high' is not a number",
        ),
    ],
)
def test_what_is_no_reply_is_refused_in_words(change, words):
    with pytest.raises(UserError, match=words):
        parse_reply(change(reply_text(served_rows(4))), "chunk")


def test_objids_that_went_through_a_float_are_refused(tmp_path):
    rows = served_rows(6)
    rows["objid"] += 1000 * np.arange(6)
    rows["objid"] = rows["objid"].astype(float).astype(np.int64)
    with pytest.raises(UserError, match="digits were lost"):
        read_reply(write_reply(tmp_path, rows))


def test_a_folder_without_chunks_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no chunk"):
        read_reply(tmp_path)


def test_the_simulated_sky_serves_what_skyserver_would(tmp_path):
    settings = Simulated(galaxies=60, galaxies_per_field=60)
    simulate_catalogue(
        out=tmp_path / "reply", truth=tmp_path / "truth.parquet", simulated=settings, seed=1
    )
    table = read_reply(tmp_path / "reply")
    assert len(table) > 60
    assert (table["class"] != "GALAXY").any()
    assert table["metallicity"].isna().any()


def test_real_replies_are_replies(real_data):
    for path in (real_data / "responses").glob("xid_*.txt"):
        body = reply_body(path.read_text(), path.name)
        assert body.startswith("ra,dec,objid")
        with pytest.raises(UserError, match="no column"):
            parse_reply(path.read_text(), path.name)


def test_an_empty_chunk_has_no_rows():
    table = parse_reply(reply_text(served_rows(2).iloc[:0]), "reply")
    assert table.empty and isinstance(table, pd.DataFrame)


def test_releases_before_12_answer_without_the_first_line():
    text = reply_text(served_rows(3)).removeprefix(f"{FIRST_LINE}\n")
    assert parse_reply(text, "reply")["objid"].tolist() == [FIRST_OBJID + i for i in range(3)]
    assert reply_body("n\n23\n", "reply", ["n"]) == "n\n23\n"
    with pytest.raises(UserError, match="not a reply of SkyServer"):
        reply_body("m\n23\n", "reply", ["n"])
