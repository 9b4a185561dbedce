"""docs/performance.md says of SED fitting what was measured."""

from __future__ import annotations

import pytest
import sed_fitting

from mgsflow.core.files import read_json, write_json
from mgsflow.report.table_sed import table_sed


@pytest.fixture
def measured(repository) -> dict:
    return read_json(repository / "benchmarks/results/sed.json")


@pytest.fixture
def words(repository) -> str:
    """The page's section, without its line breaks."""
    page = (repository / "docs/performance.md").read_text(encoding="utf-8")
    return " ".join(page.split("## Against SED fitting")[1].split("\n## ")[0].split())


def test_the_page_has_the_table_of_the_results(measured, words, tmp_path):
    write_json(tmp_path / "comparison.json", measured["comparison"])
    table_sed(comparison=tmp_path / "comparison.json", out=tmp_path / "sed.csv")
    for line in (tmp_path / "sed.md").read_text(encoding="utf-8").splitlines():
        assert line.startswith("| :--") or " ".join(line.split()) in words, line


def test_the_pages_verdicts_are_those_of_the_results(measured, words):
    ratios, pays = measured["comparison"]["ratios"], measured["comparison"]["training"]
    assert f"{ratios['bagpipes']['batch']:,.0f} times" in words
    assert f"{ratios['bagpipes']['single']:,.0f} times" in words
    assert f"{1 / ratios['kcorrect']['batch']:,.0f} times" in words
    assert f"{pays['break_even']:.1f} galaxies" in words
    assert f"{measured['gpu']['ratio']:,.0f} times" in words
    assert measured["gpu"]["card"] in words
    reached = ratios["bagpipes"]["batch"] >= measured["comparison"]["goal"]
    assert ("The goal of 10,000 on a CPU is reached" in words) == reached


def test_the_gpus_time_is_of_as_many_draws(measured):
    rows = [{"name": sed_fitting.SAMPLED, "seconds": 2.0}]
    run = {"draws": 1000, "galaxies": 500, "machine": {"card": "a card"}, "rows": rows}
    compared = {"fits": {"draws": 1000}, "core_seconds": {"bagpipes": {"batch": 100.0}}}
    found = sed_fitting.gpu(compared, {"cuda": run})
    assert found == {"card": "a card", "seconds": 0.004, "ratio": 25e3}
    with pytest.raises(ValueError, match="equal draws"):
        sed_fitting.gpu(compared, {"cuda": run | {"draws": 10}})
