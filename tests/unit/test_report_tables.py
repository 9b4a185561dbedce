"""The tables: what stands in their cells, and that all three forms say the same."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, write_json
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.inputs import LABELS
from mgsflow.report.table1 import table1
from mgsflow.report.table2 import table2
from mgsflow.report.table_cost import table_cost
from mgsflow.report.table_detectability import CELLS, table_detectability
from mgsflow.report.table_sample import table_sample
from mgsflow.report.table_scores import table_scores
from mgsflow.report.table_speed import table_speed
from mgsflow.report.writing import (
    INTERVAL,
    read_shown,
    show,
    show_interval,
    show_seconds,
    text_columns,
    to_latex,
    to_markdown,
    write_tables,
)

OURS, REST = "images_photometry-observed", "images_photometry-rest_frame"


@pytest.fixture
def scores(tmp_path):
    columns = (
        "method kind target n r2 r2_low r2_high r2_mean_head rmse bias nmad "
        "coverage_68 coverage_95 crps"
    ).split()
    gain = ["r2_gain", "r2_gain_low", "r2_gain_high"]
    added = ["r2_mean_head_low", "r2_mean_head_high", *gain, "photo_z_sigma_mad"]
    nan = np.nan
    rows = [
        (OURS, "posterior", "redshift", 90, 0.81, 0.77, 0.85, 0.8, 0.02, 0, 0.01, 0.66, 0.94, 0.01),
        (OURS, "posterior", "log1p_h_beta", 90, 0.5, 0.4, 0.6, 0.5, 0.3, 0, 0.2, 0.7, 0.95, 0.2),
        ("photometry_mlp", "baseline", "redshift", 90, 0.7, 0.6, 0.8, nan, 0, 0, 0, nan, nan, 0.1),
    ]
    path = tmp_path / "scores.parquet"
    table = pd.DataFrame(rows, columns=columns).assign(**dict.fromkeys(added, nan))
    head = table["r2_mean_head"]
    table["r2_mean_head_low"], table["r2_mean_head_high"] = head - 0.05, head + 0.02
    rest = table.iloc[[0]].assign(method=REST, r2=0.97, r2_low=0.96, r2_high=0.98)
    rest[gain] = 0.16, 0.12, 0.21
    table.loc[0, "photo_z_sigma_mad"] = 0.012
    limit = table.iloc[[2]].assign(method="ceiling", kind="ceiling", r2=0.9, r2_low=0.8, r2_high=1)
    write_table(path, pd.concat([table, rest, limit], ignore_index=True))
    return path


def test_table1_puts_the_published_first_and_marks_them(scores, tmp_path):
    table1(scores=scores, out=tmp_path / "table1.csv")
    shown = read_shown(tmp_path / "table1.json")
    assert list(shown.columns) == ["Method", "z", "Hβ"]
    assert ["published" in name for name in shown["Method"]] == [True] * 6 + [False] * 7
    ours = shown[shown["Method"].str.contains("ours, observed")].iloc[0]
    assert list(ours[1:]) == ["0.81 +0.04 −0.04", "0.50 +0.10 −0.10"]
    paper = shown[shown["Method"].str.contains("Images.*paper", regex=True)].iloc[0]
    assert list(paper[1:]) == ["0.80", "0.79–0.80"]
    assert shown.iloc[6]["Method"].startswith("(r, g, z)") and shown.iloc[6]["Hβ"] == "–"
    numbers = pd.read_csv(tmp_path / "table1.csv")
    row = numbers[numbers["method"].eq(LABELS[OURS]) & numbers["target"].eq("redshift")].iloc[0]
    assert (row["source"], row["r2"], row["r2_low"], row["n"]) == ("this run", 0.81, 0.77, 90)


def test_table1_shows_an_interval_at_every_value_of_this_run(scores, tmp_path):
    table1(scores=scores, out=tmp_path / "table1.csv")
    numbers = pd.read_csv(tmp_path / "table1.csv")
    ours = numbers[numbers["source"] != "published"]
    assert ours[["r2", "r2_low", "r2_high"]].notna().all(axis=None)
    shown = read_shown(tmp_path / "table1.json").set_index("Method")
    cells = [cell for name in set(ours["method"]) for cell in shown.loc[name] if cell != "–"]
    assert len(cells) == len(ours) and all(INTERVAL.fullmatch(cell) for cell in cells)


def test_table1_has_the_mean_head_alone_and_what_rest_frame_colours_bring(scores, tmp_path):
    table1(scores=scores, out=tmp_path / "table1.csv")
    shown = read_shown(tmp_path / "table1.json").set_index("Method")
    head = shown.loc["Images + photometry, mean head alone (ours, observed colours)"]
    assert head.tolist() == ["0.80 +0.02 −0.05", "0.50 +0.02 −0.05"]
    assert shown.loc["Ceiling by the catalogue's errors"].tolist() == ["0.90 +0.10 −0.10", "–"]
    gain = shown.iloc[-1]
    assert gain.name == "Gain by rest-frame colours, images + photometry"
    assert gain.tolist() == ["0.16 +0.05 −0.04", "–"]
    numbers = pd.read_csv(tmp_path / "table1.csv")
    assert (numbers["source"] == "this run, difference").sum() == 1


def test_table1_shows_three_digits_where_two_would_hide_the_interval(scores, tmp_path):
    narrow = read_table(scores)
    for name in ("r2", "r2_mean_head", "r2_gain"):
        narrow[f"{name}_low"], narrow[f"{name}_high"] = narrow[name] - 0.004, narrow[name] + 0.003
    write_table(tmp_path / "narrow.parquet", narrow)
    table1(scores=tmp_path / "narrow.parquet", out=tmp_path / "table1.csv")
    shown = read_shown(tmp_path / "table1.json")
    assert shown.iloc[8]["z"] == "0.810 +0.003 −0.004"
    assert shown.iloc[0]["z"] == "0.68"  # as published
    assert r"$0.810^{+0.003}_{-0.004}$" in (tmp_path / "table1.tex").read_text()


def test_the_conditional_vae_stands_below_the_other_baselines_on_images(scores, tmp_path):
    table = read_table(scores)
    names = ["conditional_vae", "image_knn", "photometry_boosting"]
    more = [table.iloc[[2]].assign(method=name, r2=0.6 + i / 100) for i, name in enumerate(names)]
    write_table(tmp_path / "more.parquet", pd.concat([table, *more], ignore_index=True))
    table1(scores=tmp_path / "more.parquet", out=tmp_path / "table1.csv")
    shown = read_shown(tmp_path / "table1.json")
    place = shown.index[shown["Method"] == "Conditional VAE on the stamps ([29], same split)"]
    assert list(shown["z"].str[:4][place[0] - 1 : place[0] + 2]) == ["0.61", "0.60", "0.62"]


def test_table1_leaves_no_method_out_in_silence(scores, tmp_path):
    write_table(tmp_path / "s.parquet", read_table(scores).assign(method="horoscope"))
    with pytest.raises(UserError, match="horoscope"):
        table1(scores=tmp_path / "s.parquet", out=tmp_path / "table1.csv")


def test_table1_leaves_out_what_the_run_does_not_infer(scores, tmp_path):
    table = read_table(scores)
    write_table(tmp_path / "less.parquet", table[table["target"] == "redshift"])
    table1(scores=tmp_path / "less.parquet", out=tmp_path / "table1.csv")
    assert list(read_shown(tmp_path / "table1.json").columns) == ["Method", "z"]
    assert set(pd.read_csv(tmp_path / "table1.csv")["target"]) == {"redshift"}


def test_all_scores_in_the_order_of_the_quantities(scores, tmp_path):
    table_scores(scores=scores, out=tmp_path / "scores.csv")
    shown = read_shown(tmp_path / "scores.json")
    assert list(shown["Quantity"]) == ["z"] * 6 + ["Hβ"]
    assert shown["Coverage 68%"].tolist()[1:4] == ["–", "0.660", "–"]
    assert shown.iloc[2][["R²", "R² of the mean head"]].tolist() == [
        "0.810 +0.040 −0.040",
        "0.800 +0.020 −0.050",
    ]


def test_what_images_gave_others_stands_beside_our_scores_in_its_own_columns(scores, tmp_path):
    oxygen = read_table(scores).iloc[[1]].assign(target="metallicity")
    both = pd.concat([read_table(scores), oxygen], ignore_index=True)
    write_table(tmp_path / "both.parquet", both)
    table_scores(scores=tmp_path / "both.parquet", out=tmp_path / "scores.csv")
    shown = read_shown(tmp_path / "scores.json")
    others = shown[shown["Method"].str.contains("published")].set_index("Quantity")
    (_, pasquet), (_, gagliano) = others.loc["z"].iterrows()
    wu = others.loc["12+log(O/H)"]
    assert "Pasquet et al. 2019" in pasquet["Method"] and "Wu & Boada 2019" in wu["Method"]
    assert (pasquet["Photo-z σ_MAD"], wu["RMSE"]) == ("<0.010", "0.085")
    assert pasquet.drop(["Method", "Photo-z σ_MAD"]).eq("–").all()
    assert wu.drop(["Method", "RMSE"]).eq("–").all()
    assert "Gagliano & Villar 2023" in gagliano["Method"] and gagliano["R²"] == "0.830"
    assert gagliano.drop(["Method", "R²"]).eq("–").all()
    assert shown.iloc[2]["Photo-z σ_MAD"] == "0.012"
    # a run without metallicity has no use for what others had of it
    table_scores(scores=scores, out=tmp_path / "scores.csv")
    assert "Wu" not in (tmp_path / "scores.md").read_text()


def test_table2_has_both_sigmas(tmp_path):
    rows = [
        (OURS, "redshift", 80, 0.02, 0.003, 0.0202),
        (OURS, "metallicity", 20, 0.1, np.nan, np.nan),
    ]
    columns = ["variant", "target", "n", "aleatoric", "epistemic", "total"]
    write_table(tmp_path / "u.parquet", pd.DataFrame(rows, columns=columns))
    table2(uncertainty=tmp_path / "u.parquet", out=tmp_path / "table2.csv")
    shown = read_shown(tmp_path / "table2.json")
    assert list(shown.columns) == ["Method", "", "12+log(O/H)", "z"]
    assert shown.iloc[0].tolist() == ["Paper, published", "σ ale", "0.134", "0.018"]
    assert shown.iloc[3, 1:].tolist() == ["σ epi", "–", "0.003"]


def test_detectability_shows_the_majority_beside_the_accuracy(tmp_path):
    observed = {
        "n": 100,
        "threshold": 0.5,
        "confusion_matrix": [[60, 10], [5, 25]],
        "accuracy": 0.85,
        "accuracy_low": 0.78,
        "accuracy_high": 0.91,
        "majority_rate": 0.7,
        "balanced_accuracy": 0.845,
        "auc": None,
        "brier": 0.1,
    }
    absent = {"absent": "metallicity is not among the targets"}
    write_json(tmp_path / "d.json", {"photometry-observed": absent, OURS: observed})
    table_detectability(detectability=tmp_path / "d.json", out=tmp_path / "detectability.csv")
    shown = read_shown(tmp_path / "detectability.json").set_index("Method")
    assert list(shown.index) == ["Paper, published", LABELS[OURS], LABELS["photometry-observed"]]
    assert shown.iloc[0]["Accuracy"] == "0.84"
    row = shown.iloc[1]
    assert row[["Galaxies", *CELLS]].tolist() == ["100", "60", "10", "5", "25"]
    assert (row["Accuracy"], row["Majority rate"], row["AUC"]) == ("0.85 +0.06 −0.07", "0.70", "–")
    assert shown.iloc[2]["Remark"] == "metallicity is not among the targets"


def test_the_cost_adds_up_and_names_what_was_not_measured(tmp_path):
    flow = {"stage": "train-flow", "flow": "line", "variant": "photometry-observed"}
    gpu = {"energy_joules": 7.2e6, "memory_allocated_max_bytes": 2**31}
    gpu |= {"utilisation_mean_percent": 88.2}
    paths = []
    vae = {"stage": "train-vae", "gpu": gpu, "on_gpu": True}
    for facts in (vae, flow | {"gpu": None, "on_gpu": False, "reason": "no GPU"}):
        same = {"device": "cpu", "reason": None, "wall_seconds": 90.0, "cpu_seconds": 120.0}
        paths.append(tmp_path / f"{facts['stage']}.json")
        write_json(paths[-1], same | {"peak_memory_bytes": 2**30} | facts)
    table_cost(telemetry=paths, out=tmp_path / "cost.csv")
    shown = read_shown(tmp_path / "cost.json")
    ours = ["VAE", "Lines: photometry (observed colours)", "All trainings"]
    assert list(shown["Training"][:3]) == ours
    assert all("published" in name for name in shown["Training"][3:])
    assert list(shown["Wall time"]) == ["1.5 min", "1.5 min", "3 min", "1.5 h", "30 min"]
    assert list(shown["GPU energy"]) == ["2 kWh", "–", "2 kWh", "–", "–"]
    assert shown.iloc[0][["GPU memory", "GPU load"]].tolist() == ["2.0 GiB", "88 %"]
    numbers = pd.read_csv(tmp_path / "cost.csv")
    assert numbers["remark"][1] == "no GPU"
    assert numbers["wall_seconds"][2] == numbers["wall_seconds"][:2].sum()
    # of a GPU whose energy is not known the sum is not known either
    write_json(paths[1], read_json(paths[1]) | {"on_gpu": True})
    table_cost(telemetry=paths, out=tmp_path / "cost.csv")
    assert list(read_shown(tmp_path / "cost.json")["GPU energy"][:3]) == ["2 kWh", "–", "–"]


def test_the_baseline_on_the_stamps_has_its_cost_by_name(tmp_path):
    facts = {"stage": "train-conditional-vae", "device": "cpu", "reason": None, "gpu": None}
    facts |= {"on_gpu": False}
    facts |= {"wall_seconds": 60.0, "cpu_seconds": 90.0, "peak_memory_bytes": 2**30}
    write_json(tmp_path / "telemetry.json", facts)
    table_cost(telemetry=[tmp_path / "telemetry.json"], out=tmp_path / "cost.csv")
    shown = read_shown(tmp_path / "cost.json")
    assert shown.iloc[0][["Training", "Wall time"]].tolist() == [
        "Conditional VAE (baseline)",
        "1 min",
    ]


def test_sample_and_speed(tmp_path):
    counts = {"reasons": {"dim": 3, "far": 7}, "noted": {"clipped": 3}}
    stage = {"stage": "select", "came": 1200, "kept": 1190, "dropped": 10} | counts
    write_json(tmp_path / "account.json", {"stages": [stage]})
    table_sample(account=tmp_path / "account.json", out=tmp_path / "sample.csv")
    shown = read_shown(tmp_path / "sample.json")
    assert shown.iloc[:, 2].tolist() == ["1,200", "7", "3", "1,190", "3"]

    timed = {"galaxies": 64, "reading": 1e-4, "encoding": 2e-3, "sampling": 0.03, "total": 0.0321}
    single = {"galaxies": 1, "reading": 1e-3, "encoding": 4e-3, "sampling": 0.1, "total": 0.105}
    facts = {"device": "cpu", "threads": 1, "draws": 1000, "batch": timed, "single": single,
             "training": {"vae": {"wall_seconds": 7200.0}}}  # fmt: skip
    write_json(tmp_path / "speed.json", facts)
    table_speed(speed=tmp_path / "speed.json", out=tmp_path / "speed.csv")
    shown = read_shown(tmp_path / "speed.json")
    assert shown.iloc[:, 1].tolist() == ["100 µs", "2 ms", "30 ms", "32.1 ms", "2 h"]
    assert shown.iloc[[0, -1], 2].tolist() == ["1 ms", "–"]
    for part in (timed, single):
        part |= {"reading": None, "encoding": None}
    write_json(tmp_path / "speed.json", facts)
    table_speed(speed=tmp_path / "speed.json", out=tmp_path / "speed.csv")
    assert len(read_shown(tmp_path / "speed.json")) == 3  # a run without stamps


def test_a_file_of_something_else_is_named(tmp_path):
    write_json(tmp_path / "other.json", {"a": 1})
    with pytest.raises(UserError, match=r"other\.json: has no stages"):
        table_sample(account=tmp_path / "other.json", out=tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        table_speed(speed=tmp_path / "none.json", out=tmp_path / "t.csv")


def test_markdown_and_latex_hold_any_text(tmp_path):
    table = pd.DataFrame({"M_BH | R²": [r"[N II] α_1 & 5% ± 3 {x} a\b", "−1"]})
    assert re.fullmatch(r"\| M_BH \\\| R² +\|", to_markdown(table).splitlines()[0])
    assert [line.strip("| ") for line in to_markdown(table).splitlines()] == [
        r"M_BH \| R²",
        ":" + "-" * 26,
        r"[N II] α_1 & 5% ± 3 {x} a\b",
        "−1",
    ]
    write_tables(tmp_path / "t.csv", table, table)
    assert read_shown(tmp_path / "t.json").equals(table)
    latex = to_latex(table)
    assert r"$M_\mathrm{BH}$ | $R^2$" in latex
    assert r"{[}N II] $\alpha$\_1 \& 5\% $\pm$ 3 \{x\} a\textbackslash{}b \\" in latex
    assert r"$-$1 \\" in latex


def test_the_texts_come_back_as_they_are_in_markdown(scores, tmp_path):
    table1(scores=scores, out=tmp_path / "table1.csv")
    written = (tmp_path / "table1.md").read_text()
    assert to_markdown(read_shown(tmp_path / "table1.json")) == written
    shown = pd.DataFrame([["a", 3, ""], ["b", 5, " "]], columns=["", "n", ""])
    write_tables(tmp_path / "t.csv", shown, shown)
    back = read_shown(tmp_path / "t.json")
    assert list(back.columns) == ["", "n", ""]
    assert back.to_numpy().tolist() == [["a", "3", ""], ["b", "5", " "]]
    (tmp_path / "t.json").unlink()
    with pytest.raises(UserError, match=r"t\.json: no such file"):
        read_shown(tmp_path / "t.json")


def test_columns_of_words_stand_to_the_left():
    shown = pd.DataFrame({"a": ["1"], "b": ["(r, g)"], "c": ["1.5 h"], "d": ["–"], "e": ["[N II]"]})
    assert text_columns(shown) == [True, True, False, False, True]
    assert r"\begin{tabular}{llccl}" in to_latex(shown)
    assert to_markdown(shown).splitlines()[1].count("-:") == 2


def test_numbers_have_a_minus_sign_and_no_negative_zero():
    assert [show(value) for value in (-0.25, -0.001, None, np.nan)] == ["−0.25", "0.00", "–", "–"]
    assert show_interval(-0.001, -0.2, 0.001) == "0.00 +0.00 −0.20"
    assert show_interval(0.5, np.nan, 0.6) == "0.50"
    # a bootstrap's interval need not hold the value itself
    assert show_interval(0.5, 0.52, 0.6) == "0.50 +0.10 +0.02"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "1.5 h"), (59.94, "59.9 s"), (2.5e-5, "25 µs"), (np.nan, "–")]
)
def test_durations(seconds, text):
    assert show_seconds(seconds) == text
