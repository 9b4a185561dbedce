"""The data base of the tests: it answers our query as SkyServer would, or these tests are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skyserver_database import SkyServerDatabase, database_of, tables_of
from skyserver_replies import FIRST_OBJID, FIRST_SPECOBJID, served_rows

from mgsflow.config import Selection, Simulated
from mgsflow.sky.query import count_query, query, whole_query
from mgsflow.sky.reply import parse_reply, reply_body
from mgsflow.sky.simulated.simulate_catalogue import make_objects, make_reply

EVERYTHING = Selection(
    legacy_primary=False, target_bits=[], reliable=False, redshift_min=-1.0, redshift_max=9.0
)


def test_rows_come_back_as_they_went_in():
    rows = served_rows(5)
    rows["z"] = [0.1, 0.2, 0.3, 0.01, 1e-05]
    rows["modelMag_u"] = np.float32(19.1234567)
    answer = database_of(rows.iloc[::-1]).answer(query(EVERYTHING, 10, 0))
    lines = answer.splitlines()
    assert lines[0] == "#Table1" and lines[1].startswith("objid,specobjid,ra,dec,fiber_ra,")
    assert lines[2].startswith(f"{FIRST_OBJID},{FIRST_SPECOBJID},183.7,0.1,183.7,0.1,752,301,4,268")
    assert "1E-05" in lines[6] and ",19.123457," in lines[6] and ",17,2,5," in lines[6]
    table = parse_reply(answer, "reply")
    assert table["objid"].tolist() == rows["objid"].tolist()
    assert table["redshift"].tolist() == rows["z"].tolist()


def test_the_simulated_sky_can_be_asked():
    settings = Simulated(galaxies=200, galaxies_per_field=50)
    rows = make_reply(make_objects(settings, 1), settings, 1)
    database = database_of(rows)
    table = parse_reply(database.answer(whole_query(EVERYTHING)), "reply")
    known = rows[rows["objid"] > 0]
    assert sorted(table["specobjid"]) == sorted(known["specobjid"])
    assert reply_body(database.answer(count_query(EVERYTHING)), "reply") == f"n\n{len(known)}\n"


def test_a_query_without_a_top_is_cut_at_the_limit_without_a_word():
    database = database_of(served_rows(7), row_limit=4)
    assert len(parse_reply(database.answer(whole_query(Selection())), "reply")) == 4
    assert len(parse_reply(database.answer(query(Selection(), 6, 0)), "reply")) == 4
    assert len(parse_reply(database.answer(query(Selection(), 3, 0)), "reply")) == 3
    assert database.answer(count_query(Selection())) == "#Table1\nn\n7\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("galSpecInfo", "galSpecInfos"), "Invalid object name 'galSpecInfos'"),
        (("s.zErr", "s.z_err"), "Invalid column name 'z_err'"),
        (("WHERE", "WHERE WHERE"), "Incorrect syntax near 'WHERE'"),
        (("ORDER BY s.specobjid", "LIMIT 3"), "Incorrect syntax near 'LIMIT'"),
    ],
)
def test_a_wrong_query_is_answered_by_an_error(change, words):
    answer = database_of(served_rows(2)).answer(query(Selection(), 5, 0).replace(*change))
    assert words in answer and not answer.startswith("#Table1")


def test_the_views_are_those_of_sdss():
    tables = tables_of(served_rows(3))
    tables["PhotoObjAll"]["mode"] = [1, 2, 3]
    tables["SpecObjAll"]["sciencePrimary"] = [1, 0, 0]
    database = SkyServerDatabase(tables)
    for view, rows in (("PhotoObjAll", 3), ("PhotoObj", 2), ("PhotoPrimary", 1), ("SpecObj", 1)):
        assert database.answer(f"SELECT COUNT(*) AS n FROM {view}") == f"#Table1\nn\n{rows}\n"


def test_identifiers_beyond_int64_keep_their_digits_and_their_order():
    rows = served_rows(3)
    large = [FIRST_SPECOBJID, 10133099161583616000, 10133099161583616001]
    rows["specobjid"] = np.array(large, dtype=np.uint64)
    database = database_of(rows)
    for after, left in ((0, 3), (large[0], 2), (large[1], 1), (large[2], 0)):
        answer = database.answer(query(Selection(), 5, after))
        assert [int(line.split(",")[1]) for line in answer.splitlines()[2:]] == large[3 - left :]


def test_five_thousand_rows_come_in_ten_chunks():
    database = database_of(served_rows(5000))
    after, chunks = 0, 0
    while not (table := parse_reply(database.answer(query(Selection(), 500, after)), "r")).empty:
        after, chunks = int(table["specobjid"].iloc[-1]), chunks + 1
    assert chunks == 10


def test_missing_values_are_null():
    rows = served_rows(2).astype({"reliable": "Int64"})
    rows.loc[0, "oh_p50"] = np.nan
    rows.loc[1, "reliable"] = pd.NA
    table = parse_reply(database_of(rows).answer(query(EVERYTHING, 5, 0)), "reply")
    assert table["metallicity"].isna().tolist() == [True, True]
    assert table["log_sfr"].isna().tolist() == [False, True]
