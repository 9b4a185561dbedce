"""The tables: what stands in their cells, and that all three forms say the same."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.files import write_json
from mgsflow.core.tables import write_table
from mgsflow.report.page import TITLES, report
from mgsflow.report.table1 import table1
from mgsflow.report.table2 import table2
from mgsflow.report.table_cost import table_cost
from mgsflow.report.table_detectability import CELLS, table_detectability
from mgsflow.report.table_sample import table_sample
from mgsflow.report.table_scores import table_scores
from mgsflow.report.table_speed import table_speed
from mgsflow.report.writing import read_markdown, show_seconds, to_latex, to_markdown

OURS = "images_photometry-observed"


@pytest.fixture
def scores(tmp_path):
    columns = (
        "method kind target n r2 r2_low r2_high r2_mean_head rmse bias nmad "
        "coverage_68 coverage_95 crps"
    ).split()
    nan = np.nan
    rows = [
        (OURS, "posterior", "redshift", 90, 0.81, 0.77, 0.85, 0.8, 0.02, 0, 0.01, 0.66, 0.94, 0.01),
        (OURS, "posterior", "log1p_h_beta", 90, 0.5, 0.4, 0.6, 0.5, 0.3, 0, 0.2, 0.7, 0.95, 0.2),
        ("photometry_mlp", "baseline", "redshift", 90, 0.7, 0.6, 0.8, nan, 0, 0, 0, nan, nan, 0.1),
    ]
    path = tmp_path / "scores.parquet"
    write_table(path, pd.DataFrame(rows, columns=columns))
    return path


def test_table1_puts_the_published_first_and_marks_them(scores, tmp_path):
    table1(scores=scores, out=tmp_path / "table1.csv")
    shown = read_markdown(tmp_path / "table1.md")
    assert list(shown.columns) == ["R²", "z", "Hβ"]
    assert ["published" in name for name in shown["R²"]] == [True] * 6 + [False] * 2
    ours = shown[shown["R²"].str.contains("ours, observed")].iloc[0]
    assert list(ours[1:]) == ["0.81 ± 0.04", "0.50 ± 0.10"]
    paper = shown[shown["R²"].str.contains("Images.*paper", regex=True)].iloc[0]
    assert list(paper[1:]) == ["0.80", "0.79–0.80"]
    assert shown.iloc[-2]["R²"].startswith("(r, g, z)") and shown.iloc[-2]["Hβ"] == "–"
    numbers = pd.read_csv(tmp_path / "table1.csv")
    row = numbers[numbers["source"].eq("this run") & numbers["target"].eq("redshift")].iloc[-1]
    assert (row["r2"], row["r2_low"], row["n"]) == (0.81, 0.77, 90)


def test_all_scores_in_the_order_of_the_quantities(scores, tmp_path):
    table_scores(scores=scores, out=tmp_path / "scores.csv")
    shown = read_markdown(tmp_path / "scores.md")
    assert list(shown["Quantity"]) == ["z", "z", "Hβ"]
    assert shown.iloc[1]["Coverage 68%"] == "–" and shown.iloc[0]["Coverage 68%"] == "0.660"


def test_table2_has_both_sigmas(tmp_path):
    rows = [
        (OURS, "redshift", 80, 0.02, 0.003, 0.0202),
        (OURS, "metallicity", 20, 0.1, np.nan, np.nan),
    ]
    columns = ["variant", "target", "n", "aleatoric", "epistemic", "total"]
    write_table(tmp_path / "u.parquet", pd.DataFrame(rows, columns=columns))
    table2(uncertainty=tmp_path / "u.parquet", out=tmp_path / "table2.csv")
    shown = read_markdown(tmp_path / "table2.md")
    assert list(shown.columns) == ["Method", "", "12+log(O/H)", "z"]
    assert shown.iloc[0].tolist() == ["Paper, published", "σ ale", "0.134", "0.018"]
    assert shown.iloc[3, 1:].tolist() == ["σ epi", "–", "0.003"]


def test_detectability_shows_the_majority_beside_the_accuracy(tmp_path):
    judged = {
        OURS: {
            "n": 100, "threshold": 0.5, "confusion_matrix": [[60, 10], [5, 25]], "accuracy": 0.85,
            "majority_rate": 0.7, "balanced_accuracy": 0.845, "auc": None, "brier": 0.1,
        },
        "photometry-observed": {"absent": "metallicity is not among the targets"},
    }  # fmt: skip
    write_json(tmp_path / "d.json", judged)
    table_detectability(detectability=tmp_path / "d.json", out=tmp_path / "detectability.csv")
    shown = read_markdown(tmp_path / "detectability.md").set_index("Method")
    assert shown.iloc[0]["Accuracy"] == "0.84"
    row = shown.iloc[1]
    assert row[list(CELLS)].tolist() == ["60", "10", "5", "25"]
    assert (row["Majority rate"], row["AUC"]) == ("0.70", "–")
    assert shown.iloc[2]["Remark"] == "metallicity is not among the targets"


def test_the_cost_adds_up_and_names_what_was_not_measured(tmp_path):
    paths = []
    for folder, stage in (("vae", "train-vae"), ("flows/line/images", "train-flow")):
        path = tmp_path / folder / "telemetry.json"
        facts = {
            "stage": stage, "device": "cpu", "gpu": None, "reason": "no GPU", "wall_seconds": 90.0,
            "cpu_seconds": 120.0, "peak_memory_bytes": 2**30,
        }  # fmt: skip
        write_json(path, facts)
        paths.append(path)
    table_cost(telemetry=paths, out=tmp_path / "cost.csv")
    shown = read_markdown(tmp_path / "cost.md")
    assert list(shown["Training"]) == ["vae", "line images", "All trainings"]
    assert list(shown["Wall time"]) == ["1.5 min", "1.5 min", "3 min"]
    assert set(shown["GPU energy"]) == {"–"}
    assert pd.read_csv(tmp_path / "cost.csv")["remark"][0] == "no GPU"


def test_sample_and_speed(tmp_path):
    stage = {"stage": "select", "came": 1200, "kept": 1190, "dropped": 10, "reasons": {"far": 10},
             "noted": {"clipped": 3}}  # fmt: skip
    write_json(tmp_path / "account.json", {"stages": [stage]})
    table_sample(account=tmp_path / "account.json", out=tmp_path / "sample.csv")
    shown = read_markdown(tmp_path / "sample.md")
    assert shown.iloc[:, 2].tolist() == ["1,200", "10", "1,190", "3"]

    timed = {"galaxies": 64, "reading": 1e-4, "encoding": 2e-3, "sampling": 0.03, "total": 0.0321}
    single = {"galaxies": 1, "reading": None, "encoding": None, "sampling": 0.1, "total": 0.1}
    facts = {"device": "cpu", "threads": 1, "draws": 1000, "batch": timed, "single": single,
             "training": {"vae": {"wall_seconds": 7200.0}}}  # fmt: skip
    write_json(tmp_path / "speed.json", facts)
    table_speed(speed=tmp_path / "speed.json", out=tmp_path / "speed.csv")
    shown = read_markdown(tmp_path / "speed.md")
    assert shown.iloc[:, 1].tolist() == ["100 µs", "2 ms", "30 ms", "32.1 ms", "2 h"]
    assert shown.iloc[0, 2] == "–"


def test_markdown_and_latex_hold_any_text():
    table = pd.DataFrame({"M_BH | R²": ["[N II] α_1 & 5% ± 3"]})
    assert re.fullmatch(r"\| M_BH \\\| R² +\|", to_markdown(table).splitlines()[0])
    latex = to_latex(table)
    assert r"$M_\mathrm{BH}$ | $R^2$" in latex
    assert r"{[}N II] $\alpha$\_1 \& 5\% $\pm$ 3 \\" in latex


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "1.5 h"), (59.94, "59.9 s"), (2.5e-5, "25 µs"), (np.nan, "–")]
)
def test_durations(seconds, text):
    assert show_seconds(seconds) == text


@pytest.fixture
def page(scores, tmp_path, repository):
    """A page with one table and one figure; returns a function of changes to its arguments."""
    table1(scores=scores, out=tmp_path / "table1.csv")
    for suffix in (".pdf", ".png"):
        (tmp_path / f"figure1{suffix}").write_bytes(b"image")
    (tmp_path / "config.yaml").write_text("run: <toy>\n")
    captions = [repository / f"workflow/report/{name}.rst" for name in ("table1", "figure1")]

    def make(**changes):
        arguments = {
            "tables": [tmp_path / "table1.csv"], "figures": [tmp_path / "figure1.pdf"],
            "captions": captions, "config": tmp_path / "config.yaml", "run": "toy",
            "sky": "simulated", "out": tmp_path / "report.html",
        }  # fmt: skip
        report(**(arguments | changes))
        return (tmp_path / "report.html").read_text()

    return make


def test_the_page_needs_no_other_file_and_says_whose_numbers_these_are(page):
    text = page()
    assert "simulated sky" in text and "they say nothing about SDSS" in text
    assert "0.81 ± 0.04" in text and "data:image/png;base64,aW1hZ2U=" in text
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    assert "run: &lt;toy&gt;" in text
    assert "simulated sky" not in page(sky="sdss")


def test_a_table_without_caption_is_refused(page):
    with pytest.raises(UserError, match="figure1"):
        page(captions=[])


def test_every_title_has_a_caption_and_every_caption_a_title(repository):
    captions = {path.stem for path in (repository / "workflow/report").glob("*.rst")}
    assert captions == set(TITLES)
