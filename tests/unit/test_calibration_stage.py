"""The stage calibration, its table and its figure, on files of posteriors that are known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calibration_toys import TARGETS, Toy, permuted, prior, scaled, shifted, toy
from gaussian_population import NAMES, Population, exact
from posterior_files import write_posterior

from mgsflow.config.evaluation import Calibration
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.calibration import calibration as stage
from mgsflow.evaluation.calibration.calibration import calibration
from mgsflow.inference.draws import read_posterior
from mgsflow.posterior.prior_ratio import PriorRatio
from mgsflow.report import style
from mgsflow.report.figure_ranks import draw, figure_ranks
from mgsflow.report.table_calibration import table_calibration
from mgsflow.report.writing import read_shown

N = 240
VARIANTS = ["images_photometry-observed", "photometry-observed"]
SETTINGS = Calibration(bootstrap=40, classifier_nulls=20)


def sets(given: Toy, without_metallicity: int = 0) -> dict[str, np.ndarray]:
    """A set's arrays; the first `without_metallicity` galaxies have no O/H."""
    truth = given.truth.copy()
    truth[:without_metallicity, TARGETS.index("metallicity")] = np.nan
    n, count, targets = given.draws.shape
    return {
        "objid": 1237648720000000000 + np.arange(n, dtype=np.int64),
        "draws": given.draws.astype(np.float32).reshape(n, 2, count // 2, targets),
        "mean_head": given.draws.mean(axis=1, keepdims=True).repeat(2, axis=1),
        "truth": truth,
    }


def write_features(folder: Path, given: Toy) -> Path:
    table = pd.DataFrame({"objid": 1237648720000000000 + np.arange(N, dtype=np.int64)})
    # the toy's three inputs as five magnitudes: nothing is lost, and nothing added
    mixing = np.random.default_rng(1).standard_normal((3, 5))
    magnitudes = 17 + given.inputs @ mixing
    for i, band in enumerate("ugriz"):
        table[f"mag_{band}"] = magnitudes[:, i]
    for blue, red in zip("ugri", "griz", strict=True):
        table[f"colour_{blue}_{red}"] = table[f"mag_{blue}"] - table[f"mag_{red}"]
    table["latent_mean_00"], table["latent_std_00"] = given.inputs[:, 0], 1 + given.inputs[:, 1]
    write_table(folder / "features.parquet", table)
    return folder / "features.parquet"


def run(folder: Path, tests: list[Toy], settings: Calibration = SETTINGS, **change) -> pd.DataFrame:
    """The stage's table of as many variants as there are `tests`."""
    files = []
    for variant, given in zip(VARIANTS, tests, strict=False):
        validation = sets(change.pop("validation", given))
        path = folder / f"{variant}.h5"
        test = sets(given, without_metallicity=150)
        files.append(write_posterior(path, variant, TARGETS, test=test, validation=validation))
    calibration(
        features=write_features(folder, tests[0]),
        posteriors=files,
        calibration=settings,
        seed=3,
        out=folder / "calibration.parquet",
        curves=folder / "curves.parquet",
    )
    return read_table(folder / "calibration.parquet")


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A right posterior, and one whose widths are 0.7 of what they should be."""
    folder = tmp_path_factory.mktemp("two")
    right = toy(N, 11)
    run(folder, [right, scaled(right, 0.7)])
    return folder


def test_every_target_and_group_has_a_row_for_all_galaxies_and_for_each_slice(two):
    table = read_table(two / "calibration.parquet")
    sizes = table.groupby(["variant", "target"], sort=False).size()
    assert sizes.index.to_list() == [
        (v, t) for v in VARIANTS for t in [*TARGETS, "core", "properties"]
    ]
    assert (sizes == 10).all(), "all, and three thirds in three quantities"
    whole = table[table["slice"] == "all"].set_index(["variant", "target"])
    assert whole.loc[(VARIANTS[0], "redshift"), "n"] == N
    assert whole.loc[(VARIANTS[0], "metallicity"), "n"] == N - 150
    assert whole.loc[(VARIANTS[0], "properties"), "n"] == N - 150


def test_the_right_posterior_is_calibrated_and_the_narrow_one_is_called_so(two):
    whole = read_table(two / "calibration.parquet").query("slice == 'all'")
    right, narrow = (whole[whole["variant"] == v].set_index("target") for v in VARIANTS)
    assert set(right["verdict"]) <= {"calibrated", "undecided"}
    assert right.loc["redshift", "verdict"] == "calibrated"
    assert narrow.loc[TARGETS, "verdict"].str.contains("too narrow").all()
    assert narrow.loc[TARGETS, "width"].to_numpy() == pytest.approx(0.7, abs=0.12)
    assert (narrow.loc[TARGETS, "width_high"] < 1).all()
    assert narrow.loc["core", "verdict"].startswith("wrong coverage")
    assert (narrow["coverage_68"] < right["coverage_68"]).all()
    # a proper score is worse, an interval holds its value
    assert (narrow["nll"] > right["nll"]).all()
    assert (narrow.loc["core", "energy"] > right.loc["core", "energy"]).all()
    for name in ("bias", "width", "crps", "nll", "coverage_68"):
        alone = right.loc[TARGETS]
        assert alone[f"{name}_low"].le(alone[name]).all()
        assert alone[f"{name}_high"].ge(alone[name]).all()


def test_only_the_redshift_has_photo_z_figures(two):
    whole = read_table(two / "calibration.parquet").query("slice == 'all'").set_index("target")
    names = ["photo_z_bias", "photo_z_sigma_mad", "photo_z_outliers", "cde_loss"]
    assert whole.loc["redshift", names].notna().all(axis=None)
    assert whole.drop("redshift")[names].isna().all(axis=None)


def test_the_prior_is_found_out_and_called_what_it_is(tmp_path):
    table = run(tmp_path, [prior(toy(N, 11))]).query("slice == 'all'").set_index("target")
    assert table.loc[TARGETS[:4], "verdict"].str.contains("depends on the inputs").all()
    assert not table["informative"].any()
    assert table.loc["core", "classifier_auc"] > 0.7
    table_calibration(calibration=tmp_path / "calibration.parquet", out=tmp_path / "t.csv")
    shown = read_shown(tmp_path / "t.json").set_index("Quantity")
    assert "no better than the prior" in shown.loc["log SFR", "Verdict"]


def test_a_fault_of_faint_galaxies_alone_is_found_in_their_slice(tmp_path):
    """Widths are right on the whole: too large where galaxies are bright, too small where faint."""
    right = toy(N, 11)
    table = read_table(write_features(tmp_path, right))
    faint = table["mag_r"].rank(pct=True).to_numpy() > 2 / 3
    factor = np.where(faint, 0.5, 1.25)[:, None, None]
    mean = right.draws.mean(axis=1, keepdims=True)
    wrong = Toy(right.inputs, right.truth, mean + factor * (right.draws - mean))
    found = run(tmp_path, [wrong]).set_index(["target", "slice"])
    row = found.loc[("log_stellar_mass", "faint")]
    assert "too narrow" in row["verdict"] and row["width"] == pytest.approx(0.5, abs=0.12)
    assert "too narrow" not in found.loc[("log_stellar_mass", "bright"), "verdict"]
    assert "depends on the inputs" in found.loc[("log_stellar_mass", "all"), "verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["temperature", "conformal"])
def test_recalibrated_draws_stand_beside_the_raw_ones(tmp_path, method):
    settings = SETTINGS.model_copy(update={"recalibrate": method})
    wrong = scaled(toy(N, 11), 1.5)
    run(tmp_path, [wrong], settings, validation=scaled(toy(N, 12), 1.5))
    table = read_table(tmp_path / "calibration.parquet").query("slice == 'all'")
    raw = table[table["recalibration"] == "none"].set_index("target")
    mended = table[table["recalibration"] == method].set_index("target")
    assert raw.loc[TARGETS[:4], "verdict"].str.contains("too wide").all()
    # what 240 galaxies teach and what 240 show scatters by 5% each
    assert raw.loc[TARGETS[:4], "width"].to_numpy() == pytest.approx(1.5, abs=0.25)
    left = (mended["width"] - 1).abs() / (raw["width"] - 1).abs()
    assert (left[TARGETS[:4]] < 0.5).all()
    assert (mended.loc[TARGETS[:4], "crps"] < raw.loc[TARGETS[:4], "crps"]).all()
    table_calibration(calibration=tmp_path / "calibration.parquet", out=tmp_path / "t.csv")
    assert set(read_shown(tmp_path / "t.json")["Draws"]) == {"raw", method}
    figure = draw(read_table(tmp_path / "curves.parquet"))
    assert "recalibrated" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_stage_repeats_to_the_byte(two, tmp_path):
    right = toy(N, 11)
    run(tmp_path, [right, scaled(right, 0.7)])
    for name in ("calibration.parquet", "curves.parquet"):
        assert (tmp_path / name).read_bytes() == (two / name).read_bytes()


def test_draws_that_cannot_be_judged_are_refused_by_name(tmp_path):
    few = toy(N, 1, draws=10)
    with pytest.raises(UserError, match=r"10 draws per galaxy are too few.*posteriors\.draws"):
        run(tmp_path, [few])
    broken = toy(N, 1, draws=40)
    broken.draws[7, 3, 2] = np.nan
    with pytest.raises(UserError, match="draws of galaxy 1237648720000000007 are not finite"):
        run(tmp_path, [broken])


@pytest.mark.slow
def test_targets_that_nobody_has_are_rows_and_not_errors(tmp_path):
    """A run of some ten galaxies, as the smallest one is."""
    given = toy(N, 1, draws=40)
    given.truth[:, 1] = np.nan
    given.truth[6:, 0] = np.nan
    found = run(tmp_path, [given]).query("slice == 'all'").set_index("target")
    assert found.loc["log_sfr", "n"] == 0 and found.loc["core", "n"] == 0
    assert set(found.loc[["log_sfr", "log_stellar_mass", "core"], "verdict"]) == {"undecided"}
    table_calibration(calibration=tmp_path / "calibration.parquet", out=tmp_path / "t.csv")
    figure_ranks(curves=tmp_path / "curves.parquet", out=tmp_path / "f.pdf")
    assert read_shown(tmp_path / "t.json")["Galaxies"].tolist().count("0") == 3


def test_the_table_says_by_how_much(tmp_path):
    right = toy(N, 11)
    run(tmp_path, [shifted(right, 0.6), permuted(right, [0, 1, 2, 3, 4])])
    table_calibration(calibration=tmp_path / "calibration.parquet", out=tmp_path / "t.csv")
    shown = read_shown(tmp_path / "t.json")
    assert list(shown.columns[:4]) == ["Method", "Quantity", "Galaxies", "Verdict"]
    moved = shown[shown["Method"].str.contains("Images")].set_index("Quantity")
    assert moved.loc["z", "Verdict"].startswith("biased high (+0.")
    loose = shown[~shown["Method"].str.contains("Images")].set_index("Quantity")
    joint = loose.loc["Core properties, jointly", "Verdict"]
    assert "wrong correlations (" in joint and ", not " in joint
    numbers = pd.read_csv(tmp_path / "t.csv")
    assert len(numbers) == 2 * 7 * 10, "every slice is in the .csv"
    assert r"\sigma" in (tmp_path / "t.tex").read_text()


@pytest.mark.slow
def test_the_figure_draws_every_quantity_and_the_curves_that_were_counted(two, monkeypatch):
    monkeypatch.setattr(style, "_PNG_DPI", 40)
    curves = read_table(two / "curves.parquet")
    figure = draw(curves)
    shown = [panel for panel in figure.axes if panel.axison]
    assert len(shown) == len(TARGETS) + len(TARGETS) + 2
    (core,) = (panel for panel in shown if panel.get_title() == "Core properties")
    lines = [line for line in core.get_lines() if len(line.get_xdata()) > 2]
    assert len(lines) == 4, "TARP and depth of two variants"
    part = curves[(curves["target"] == "core") & (curves["kind"] == "tarp")]
    own = part[part["variant"] == VARIANTS[0]]
    np.testing.assert_allclose(lines[0].get_ydata(), own["share"] - own["x"])
    figure_ranks(curves=two / "curves.parquet", out=two / "f.pdf")
    before = (two / "f.pdf").read_bytes()
    figure_ranks(curves=two / "curves.parquet", out=two / "f.pdf")
    assert (two / "f.pdf").read_bytes() == before
    assert draw(curves.iloc[:0]).texts[0].get_text().startswith("No galaxy")


def other_population(folder: Path, n: int) -> dict:
    """Arguments of the stage for `n` galaxies of other redshifts than the training set's."""
    old, new = Population(), Population(1.2, 0.6)
    train, (truth, inputs) = old.draw(2000, 0)[0], new.draw(n, 1)
    draws = exact(old).sample(inputs, 300, seed=2)
    objid = 1237648720000000000 + np.arange(len(train) + n, dtype=np.int64)
    features = pd.concat([train.assign(set="train"), truth.assign(set="test")], ignore_index=True)
    features = features.assign(objid=objid, mag_r=np.r_[np.zeros(len(train)), inputs[:, 0]])
    features["mag_i"] = np.r_[np.zeros(len(train)), inputs[:, 1]]
    features["colour_r_i"] = features["mag_r"] - features["mag_i"]
    write_table(folder / "features.parquet", features)
    test = {"objid": objid[len(train) :], "draws": draws[:, None], "truth": truth.to_numpy()}
    test["mean_head"] = draws.mean(axis=1)[:, None]
    return {
        "features": folder / "features.parquet",
        "posteriors": [write_posterior(folder / "p.h5", VARIANTS[1], NAMES, test=test)],
        "calibration": SETTINGS.model_copy(update={"recalibrate": "prior"}),
        "seed": 3,
        "out": folder / "calibration.parquet",
        "curves": folder / "curves.parquet",
    }


@pytest.mark.slow
def test_reweighted_to_the_test_sets_population_draws_are_calibrated_again(tmp_path, capsys):
    """Nothing is told of the test galaxies' truths."""
    arguments = other_population(tmp_path, 800)
    calibration(**arguments)
    table = read_table(tmp_path / "calibration.parquet").query("slice == 'all'")
    raw, mended = (
        table[(table["recalibration"] == name) & (table["target"] == "redshift")].iloc[0]
        for name in ("none", "prior")
    )
    assert raw["bias"] < -0.6 and "biased low" in raw["verdict"]
    assert abs(mended["bias"]) < 0.15 and mended["width"] == pytest.approx(1, abs=0.1)
    assert mended["coverage_68"] == pytest.approx(0.68, abs=0.05)
    assert mended["crps"] < raw["crps"]
    said = re.search(
        r"(\d+) of 300 draws effective after reweighting, (\d+) at the 5% quantile; (\d+) of 800 "
        "galaxies have too few and are left out",
        capsys.readouterr().err,
    )
    columns = ["effective_median", "effective_q05", "starved"]
    median, low, starved = mended[columns]
    assert [round(median), round(low), round(800 * starved)] == [
        int(part) for part in said.groups()
    ]
    assert mended["n"] == 800 - int(said[3]) and 0 < low < median < 300
    assert raw[columns].isna().all() and raw["n"] == 800
    arguments["calibration"] = SETTINGS.model_copy(
        update={"recalibrate": "prior", "prior_targets": ["log_sfr"]}
    )
    with pytest.raises(UserError, match=r"calibration\.prior_targets: the posteriors infer none"):
        calibration(**arguments)


def test_galaxies_without_effective_draws_are_left_out_and_counted(tmp_path, monkeypatch):
    """A new population begins at a redshift of 0.5, where some galaxies' draws hardly reach."""
    arguments = other_population(tmp_path, 300)

    def edged(*_: object) -> PriorRatio:
        return PriorRatio(["redshift"], lambda v: np.where(v[..., 0] > 0.5, 0.0, -np.inf))

    monkeypatch.setattr(stage.PriorRatio, "of_draws", edged)
    calibration(**arguments)
    pooled = read_posterior(arguments["posteriors"][0], "test").pooled
    reached = (pooled[..., 0] > 0.5).sum(axis=1)  # equal weights: as many are effective
    starved = reached < 75  # a quarter of the draws
    assert 0.05 < starved.mean() < 0.5
    table = read_table(tmp_path / "calibration.parquet").query("recalibration == 'prior'")
    assert table["starved"].to_numpy() == pytest.approx(starved.mean())
    assert table["effective_q05"].to_numpy() == pytest.approx(np.quantile(reached, 0.05))
    whole = table[table["slice"] == "all"].set_index("target")
    assert (whole["n"] == (~starved).sum()).all()
    assert np.isfinite(whole.loc[NAMES, ["bias", "width", "crps"]]).all(axis=None)
