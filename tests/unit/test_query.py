"""The SQL: short enough for SkyServer, its columns those of the reply, its cuts the settings'."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import pytest

from mgsflow.config import Selection
from mgsflow.sky.columns import COLUMNS
from mgsflow.sky.query import count_query, query, whole_query

NOTHING_CUT = Selection(legacy_primary=False, target_bits=[], reliable=False)


def bare(sql: str) -> str:
    """The SQL without its comments, as astroquery sends it."""
    return " " + " ".join(line.split("--")[0] for line in sql.split("\n"))


def test_the_query_is_short_enough_for_the_server():
    longest = Selection(
        redshift_min=0.00123, redshift_max=0.29999, target_bits=[2**i for i in range(31)]
    )
    sql = query(longest, 500_000, 2**64 - 1)
    sent = urlencode({"cmd": bare(sql), "format": "csv", "searchtool": "SQL"})
    assert len(sent) < 2048
    assert "@" not in sql


def test_the_query_asks_for_the_columns_that_the_reply_has():
    listed = re.search(r"SELECT TOP 7 (.*?) FROM", bare(query(Selection(), 7, 0)))[1]
    names = [re.split(r"\.| AS ", item.strip())[-1] for item in listed.split(",")]
    assert sorted(names) == sorted(COLUMNS)


def test_the_chunks_the_count_and_the_whole_have_the_same_joins_and_cuts():
    chunk, count, whole = (
        query(Selection(), 5, 3),
        count_query(Selection()),
        whole_query(Selection()),
    )
    rest = whole[whole.index("\nFROM ") :]
    assert count == f"SELECT COUNT(*) AS n{rest}"
    assert chunk.endswith(f"{rest}AND s.specobjid > 3\nORDER BY s.specobjid")
    for word in ("TOP", "ORDER", "specobjid >"):
        assert word not in bare(whole)


@pytest.mark.parametrize(
    ("clause", "without"),
    [
        ("s.z BETWEEN 0.002 AND 0.3", "s.z BETWEEN 0.002 AND 0.3"),
        ("(s.legacyPrimary = 1 OR 1 = 0)", "(s.legacyPrimary = 1 OR 0 = 0)"),
        ("((s.legacy_target1 & 448) <> 0 OR 448 = 0)", "((s.legacy_target1 & 0) <> 0 OR 0 = 0)"),
        ("(i.reliable IS NOT NULL OR 1 = 0)", "(i.reliable IS NOT NULL OR 0 = 0)"),
    ],
)
def test_each_cut_is_a_setting(clause, without):
    assert clause in whole_query(Selection())
    assert without in whole_query(NOTHING_CUT)


@pytest.mark.parametrize(("alias", "table"), [("p", "PhotoObjAll"), ("s", "SpecObjAll")])
def test_the_columns_are_those_of_sdss(real_data, alias, table):
    """The schema of release 12, as SkyServer gave it."""
    schema = json.loads((real_data / f"responses/{table}_dr12.json").read_text())[0]["Rows"]
    there = {column["name"].lower() for column in schema}
    asked = set(re.findall(rf"\b{alias}\.(\w+)", bare(whole_query(Selection()))))
    assert len(asked) > 8 and {name.lower() for name in asked} <= there
