"""The report's page, and what a run says at its end."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.files import write_json
from mgsflow.report.contents import ITEMS
from mgsflow.report.report import report
from mgsflow.report.summary import summary
from mgsflow.report.table_cost import TOTAL
from mgsflow.report.writing import write_tables


@pytest.fixture
def page(tmp_path, repository):
    """A page with one table and one figure; returns a function of changes to its arguments."""
    shown = pd.DataFrame(
        {
            "Method": ["<Paper>, published", "Ours"],
            "log M_BH": ["0.67", "0.81 +0.04 −0.06"],
            "log M⋆": ["0.85", "–"],
        }
    )
    write_tables(tmp_path / "tables" / "table1.csv", shown, shown)
    for suffix in (".pdf", ".png"):
        (tmp_path / f"figure1{suffix}").write_bytes(b"image")
    (tmp_path / "config.yaml").write_text("run: <toy>\n")
    captions = [repository / f"workflow/report/{name}.rst" for name in ("table1", "figure1")]

    def make(**changes):
        arguments = {
            "shown": [
                *(
                    tmp_path / "tables" / f"table1.{suffix}"
                    for suffix in ("csv", "json", "md", "tex")
                ),
                *(tmp_path / f"figure1.{suffix}" for suffix in ("pdf", "png")),
            ],
            "captions": captions,
            "config": tmp_path / "config.yaml",
            "run": "toy",
            "sky": "simulated",
            "out": tmp_path / "report.html",
        }
        report(**(arguments | changes))
        return (tmp_path / "report.html").read_text()

    return make


def test_the_page_needs_no_other_file(page):
    text = page()
    assert "data:image/png;base64,aW1hZ2U=" in text
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    assert not re.search(r"<script|<link|@import|url\(", text)


def test_the_page_says_whose_numbers_these_are(page):
    text = page()
    assert "simulated sky" in text and "they say nothing about SDSS" in text
    assert "simulated sky" not in page(sky="sdss")
    with pytest.raises(UserError, match="--sky moon"):
        page(sky="moon")


def test_cells_are_escaped_and_typeset(page):
    text = page()
    assert "&lt;Paper&gt;, published" in text and "run: &lt;toy&gt;" in text
    assert "M<sub>BH</sub>" in text and "M<sub>★</sub>" in text
    arms = re.search(r'0\.81<span class="arms"><span>(.*?)</span><span>(.*?)</span></span>', text)
    assert arms.groups() == ("+0.04", "−0.06")
    assert '<tr class="published"><td class="text">' in text


def test_every_entry_of_the_contents_leads_somewhere(page):
    text = page()
    links = re.findall(r'href="#([^"]+)"', text)
    assert links == ["table1", "figure1"]
    assert set(links) <= set(re.findall(r'id="([^"]+)"', text))


def test_versions_are_the_models_and_disagreements_show(page, tmp_path):
    for name, torch in (("a", "2.13.0"), ("b", "2.14.0")):
        write_json(
            tmp_path / name / "model.json", {"software": {"torch": torch, "python": "3.11.7"}}
        )
    text = page(encoder=tmp_path / "a", flows=[tmp_path / "b"])
    assert "Models: python 3.11.7, torch 2.13.0 and 2.14.0." in text
    assert "Tables and figures: mgsflow" in text


def test_a_table_without_caption_or_title_is_refused(page, tmp_path):
    with pytest.raises(UserError, match="figure1"):
        page(captions=[])
    shown = pd.DataFrame({"a": ["b"]})
    write_tables(tmp_path / "stranger.csv", shown, shown)
    with pytest.raises(UserError, match="stranger"):
        page(shown=[tmp_path / "stranger.json"])


def test_every_title_has_a_caption_and_every_caption_a_title(repository):
    captions = {path.stem for path in (repository / "workflow/report").glob("*.rst")}
    assert captions == set(ITEMS)


def test_captions_are_plain_for_snakemake_and_for_the_page(repository):
    """Snakemake reads them as templates, in which braces would be commands."""
    for path in (repository / "workflow/report").glob("*.rst"):
        assert not set("{}`|*") & set(path.read_text()), path


def test_the_summary_prints_the_table_the_cost_and_the_report(page, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page()
    shown = pd.DataFrame(
        {
            "Method": ["Paper, published", "Ours, a variant with a name as long as they come"],
            "z": ["0.80", "−0.05 +0.04 −0.06"],
            "log M_BH": ["0.67", "–"],
            "Hα": ["–", "0.61"],
        }
    )
    write_tables(tmp_path / "tables" / "table1.csv", shown, shown)
    cost = pd.DataFrame(
        {"Training": ["VAE", TOTAL], "Wall time": ["2 min", "3 min"], "GPU energy": ["–", "1 kWh"]}
    )
    write_tables(tmp_path / "tables" / "cost.csv", cost, cost)
    summary(results=tmp_path)
    printed = capsys.readouterr().out
    properties, lines = printed.split("R² on the test set")[1:]
    assert re.search(r"Ours, a variant .* −0\.05 +–", properties) and "+0.04" not in printed
    assert "Paper" in properties and "Paper" not in lines and "0.61" in lines
    assert "took 3 min and 1 kWh on the GPU" in printed
    assert str(tmp_path / "report.html") in printed


def test_the_summary_of_an_unfinished_run_says_so(tmp_path):
    with pytest.raises(UserError, match="not complete"):
        summary(results=tmp_path)
