"""Scores of posteriors whose accuracy and calibration are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from posterior_files import gaussian_set, write_posterior

from mgsflow.config import Evaluation, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.ceiling import target_errors
from mgsflow.evaluation.scores import QUANTITIES, scores
from mgsflow.report.table1 import table1

TARGETS = ["log_stellar_mass", "redshift", "metallicity", "log1p_h_alpha"]
RUN = Targets(properties=TARGETS[:3], lines=TARGETS[3:])
PHOTOMETRY, IMAGES = "photometry-observed", "images"
N = 3000
SIGMA = 0.6  # of the posteriors; the centres scatter by 1, so that R2 is 1 / (1 + 0.36)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pd.DataFrame:
    """Scores of a calibrated variant, of one with half its width, and of two baselines."""
    folder = tmp_path_factory.mktemp("scores")
    random = np.random.default_rng(11)
    centres = random.standard_normal((N, len(TARGETS)))
    truth = centres + SIGMA * random.standard_normal(centres.shape)
    truth[: N // 3, 2] = np.nan
    good = gaussian_set(centres, truth, within=SIGMA, seed=1)
    bad = gaussian_set(centres, truth, within=SIGMA / 2, seed=2)
    backwards = {key: value[::-1] for key, value in good.items()}
    files = [
        write_posterior(folder / "a.h5", PHOTOMETRY, TARGETS, test=backwards, validation=bad),
        write_posterior(folder / "b.h5", IMAGES, TARGETS, test=bad, validation=good),
    ]
    features = pd.DataFrame({"objid": good["objid"], "set": "test"})
    features[TARGETS] = truth
    write_table(folder / "features.parquet", features)
    guesses = (
        _baseline("image_knn", good["objid"], centres),
        _baseline("oracle", good["objid"], truth),
    )
    validation = _baseline("oracle", good["objid"], truth + 99).assign(set="validation")
    # of one stage, and of another that has a method of its own
    write_table(folder / "baselines.parquet", guesses[0])
    write_table(folder / "baselines-more.parquet", pd.concat([guesses[1], validation]))
    _score(folder, files)
    table = read_table(folder / "scores.parquet")
    table.attrs["folder"], table.attrs["files"] = folder, files
    return table


def _baseline(method: str, objid: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """In another order than the features, and with zeros where there is no truth to compare."""
    wide = pd.DataFrame(np.nan_to_num(values), columns=TARGETS).assign(objid=objid)
    long = wide.melt("objid", var_name="target", value_name="prediction")
    long = long.assign(method=method, set="test", split="galaxy", block=-1)
    return long.sample(frac=1, random_state=0)


def _score(folder, files, catalogue=None) -> None:
    objid = read_table(folder / "features.parquet")[["objid"]]
    write_table(folder / "selected.parquet", objid if catalogue is None else catalogue)
    scores(
        features=folder / "features.parquet",
        selected=folder / "selected.parquet",
        posteriors=files,
        baselines=sorted(folder.glob("baselines*.parquet")),
        targets=RUN,
        evaluation=Evaluation(bootstrap=60),
        seed=3,
        out=folder / "scores.parquet",
    )


def _row(run: pd.DataFrame, method: str, target: str) -> pd.Series:
    (found,) = [row for _, row in run.iterrows() if (row.method, row.target) == (method, target)]
    return found


def test_one_row_for_each_method_and_target(run):
    assert list(run.columns) == [quantity.name for quantity in QUANTITIES]
    assert not run.duplicated(["method", "target"]).any()
    kinds = run.groupby("method")["kind"].agg(["first", "size"])
    assert kinds.to_dict("index") == {
        PHOTOMETRY: {"first": "posterior", "size": 4},
        IMAGES: {"first": "posterior", "size": 4},
        "image_knn": {"first": "baseline", "size": 4},
        "oracle": {"first": "baseline", "size": 4},
    }


def test_a_calibrated_posterior_has_the_scores_of_its_width(run):
    row = _row(run, PHOTOMETRY, "log_stellar_mass")
    assert row.n == N
    assert row.r2 == pytest.approx(1 - SIGMA**2 / (1 + SIGMA**2), abs=0.03)
    assert row.r2_low < row.r2 < row.r2_high
    assert row.r2_mean_head == pytest.approx(row.r2, abs=0.01)
    assert row.rmse == pytest.approx(SIGMA, rel=0.04)
    assert row.nmad == pytest.approx(SIGMA, rel=0.06)
    assert abs(row.bias) < 4 * SIGMA / np.sqrt(N)
    assert row.coverage_68 == pytest.approx(0.68, abs=0.03)
    assert row.coverage_95 == pytest.approx(0.95, abs=0.015)
    assert row.crps == pytest.approx(SIGMA / np.sqrt(np.pi), rel=0.04)  # of a perfect Gaussian


def test_a_posterior_that_is_too_narrow_is_as_accurate_but_covers_less_and_scores_worse(run):
    good, bad = (_row(run, variant, "log1p_h_alpha") for variant in (PHOTOMETRY, IMAGES))
    assert bad.r2 == pytest.approx(good.r2, abs=0.01)
    assert bad.coverage_68 < 0.42  # 38% lie within half a sigma
    assert bad.crps > 1.05 * good.crps


def test_every_r2_of_ours_has_an_interval_about_it(run):
    for name, rows in (("r2", run), ("r2_mean_head", run[run["kind"] == "posterior"])):
        rows = rows[rows["method"] != "oracle"]
        assert (rows[f"{name}_low"] < rows[name]).all()
        assert (rows[name] < rows[f"{name}_high"]).all()
        assert (rows[f"{name}_high"] - rows[f"{name}_low"] < 0.1).all()


def test_the_gain_of_rest_frame_colours_is_that_of_the_same_galaxies(tmp_path):
    """Two posteriors whose errors are nearly the same: their R2 differ by more than chance."""
    random = np.random.default_rng(4)
    n, variants = 400, ["photometry-rest_frame", "photometry-observed"]
    truth = random.standard_normal((n, 1))
    common = 0.5 * random.standard_normal((n, 1))
    files = []
    for variant, more in zip(variants, (0.0, 0.2), strict=True):
        centres = truth + common + more * random.standard_normal((n, 1))
        posterior = gaussian_set(centres, truth, within=0.3, draws=400)
        files.append(write_posterior(tmp_path / f"{variant}.h5", variant, ["redshift"],
                                     test=posterior))  # fmt: skip
    features = pd.DataFrame({"objid": posterior["objid"], "set": "test", "redshift": truth[:, 0]})
    write_table(tmp_path / "features.parquet", features)
    nobody = _baseline("x", posterior["objid"], truth[:, [0] * 4])[:0]
    write_table(tmp_path / "baselines.parquet", nobody)
    _score(tmp_path, files)
    rest, observed = read_table(tmp_path / "scores.parquet").to_dict("records")
    assert rest["r2_gain"] == pytest.approx(rest["r2"] - observed["r2"])
    assert 0 < rest["r2_gain_low"] < rest["r2_gain"] < rest["r2_gain_high"]
    # paired, the interval is much narrower than the two intervals suggest
    assert rest["r2_gain_high"] - rest["r2_gain_low"] < (rest["r2_high"] - rest["r2_low"])
    assert np.isnan(observed["r2_gain"])
    _score(tmp_path, files[:1])
    (alone,) = read_table(tmp_path / "scores.parquet").to_dict("records")
    assert np.isnan(alone["r2_gain"])


def test_the_gain_is_over_observed_colours_with_the_same_family_of_flows(tmp_path):
    random = np.random.default_rng(5)
    truth = random.standard_normal((200, 1))
    scatter = {"photometry-rest_frame+spline": 0.1, "photometry-observed": 0.2,
               "photometry-observed+spline": 0.4}  # fmt: skip
    files = []
    for variant, sigma in scatter.items():
        centres = truth + sigma * random.standard_normal(truth.shape)
        posterior = gaussian_set(centres, truth, within=0.3, draws=200)
        path = tmp_path / f"{variant}.h5"
        files.append(write_posterior(path, variant, ["redshift"], test=posterior))
    features = pd.DataFrame({"objid": posterior["objid"], "set": "test", "redshift": truth[:, 0]})
    write_table(tmp_path / "features.parquet", features)
    nobody = _baseline("x", posterior["objid"], truth[:, [0] * 4])[:0]
    write_table(tmp_path / "baselines.parquet", nobody)
    _score(tmp_path, files)
    rest, other, same = read_table(tmp_path / "scores.parquet").to_dict("records")
    assert rest["r2_gain"] == pytest.approx(rest["r2"] - same["r2"])
    assert same["r2"] < other["r2"] - 0.05
    table1(scores=tmp_path / "scores.parquet", out=tmp_path / "table1.csv")
    assert "Gain by rest-frame colours, photometry, spline" in (tmp_path / "table1.md").read_text()


def test_missing_truths_do_not_count(run):
    assert run.query("target == 'metallicity'")["n"].unique() == [N - N // 3]
    assert run.query("target != 'metallicity'")["n"].unique() == [N]


def test_baselines_are_joined_by_objid_and_scored_on_the_test_set(run):
    oracle = run.query("method == 'oracle'")
    assert (oracle["r2"] == 1).all()
    assert (oracle["crps"] == 0).all()
    assert oracle[["coverage_68", "coverage_95", "r2_mean_head"]].isna().all(axis=None)
    knn, posterior = (_row(run, m, "redshift") for m in ("image_knn", PHOTOMETRY))
    # the same galaxies are drawn by the bootstrap, whatever the order of the files
    assert knn.r2_high - knn.r2_low == pytest.approx(posterior.r2_high - posterior.r2_low, rel=0.1)
    # a width brings a posterior nearer to the truth than its mean alone is
    assert posterior.crps < 0.8 * knn.crps


def test_photometric_redshift_figures_are_the_redshifts_alone(run):
    columns = ["photo_z_bias", "photo_z_sigma_mad", "photo_z_outliers"]
    assert run.query("target == 'redshift'")[columns].notna().all(axis=None)
    assert run.query("target != 'redshift'")[columns].isna().all(axis=None)


def test_two_files_of_one_variant_are_refused(run):
    file, _ = run.attrs["files"]
    with pytest.raises(UserError, match=r"a\.h5: holds the posteriors of photometry-observed, as"):
        _score(run.attrs["folder"], [file, file])


def test_a_baseline_without_a_galaxy_is_refused(run, tmp_path):
    folder = run.attrs["folder"]
    table = read_table(folder / "baselines.parquet")
    write_table(tmp_path / "baselines.parquet", table.query("objid != 1237648720000000005"))
    (tmp_path / "features.parquet").symlink_to(folder / "features.parquet")
    with pytest.raises(UserError, match=r"for galaxy 1237648720000000005"):
        _score(tmp_path, run.attrs["files"])


def test_a_run_of_one_target_without_baselines(tmp_path):
    random = np.random.default_rng(0)
    truth = random.uniform(0.02, 0.3, (50, 1))
    posterior = gaussian_set(truth, truth, within=0.01)
    path = write_posterior(tmp_path / "p.h5", PHOTOMETRY, ["redshift"], test=posterior)
    features = pd.DataFrame({"objid": posterior["objid"], "set": "test", "redshift": truth[:, 0]})
    write_table(tmp_path / "features.parquet", features)
    write_table(
        tmp_path / "baselines.parquet", _baseline("x", posterior["objid"], truth[:, [0] * 4])[:0]
    )
    _score(tmp_path, [path])
    (row,) = read_table(tmp_path / "scores.parquet").to_dict("records")
    assert (row["target"], row["n"]) == ("redshift", 50)
    assert row["photo_z_outliers"] == 0


def test_a_split_by_sky_has_its_own_test_set_and_draws_whole_blocks(tmp_path):
    """Errors that a block's galaxies share leave far fewer independent ones than galaxies."""
    random = np.random.default_rng(8)
    objid = 1237648720000000000 + np.arange(2000)
    truth = random.standard_normal(2000)
    features = pd.DataFrame({"objid": objid, "set": "train", "redshift": truth})
    features.loc[:49, "set"] = "test"
    block = np.arange(1000) // 50
    wrong = 0.8 * random.standard_normal(20)[block] + 0.1 * random.standard_normal(1000)
    predicted = pd.DataFrame({"objid": objid[500:1500], "target": "redshift", "set": "test"})
    predicted["prediction"] = truth[500:1500] + wrong
    sky = predicted.assign(method="boosting_sky", split="sky", block=block)
    alone = sky.assign(method="as_if_alone", block=np.arange(1000))
    ours = _baseline("x", objid[:50], truth[:50, None].repeat(4, axis=1))
    ours = ours[ours["target"] == "redshift"]
    write_table(tmp_path / "features.parquet", features)
    write_table(tmp_path / "baselines.parquet", pd.concat([sky, alone, ours]))
    _score(tmp_path, [])
    rows = read_table(tmp_path / "scores.parquet").set_index("method")
    assert rows["n"].to_dict() == {"boosting_sky": 1000, "as_if_alone": 1000, "x": 50}
    assert rows["split"].to_dict() == {"boosting_sky": "sky", "as_if_alone": "sky", "x": "galaxy"}
    assert rows.loc["boosting_sky", "r2"] == rows.loc["as_if_alone", "r2"]
    width = rows["r2_high"] - rows["r2_low"]
    assert width["boosting_sky"] > 2 * width["as_if_alone"]


def _noisy(n: int = 4000) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """A catalogue with errors, its features, and the true values behind its noise."""
    random = np.random.default_rng(9)
    objid = pd.DataFrame({"objid": 1237648720000000000 + np.arange(n)})
    true = {"redshift": random.uniform(0.05, 0.25, n), "flux": 50 + 10 * random.standard_normal(n)}
    errors = {"redshift_err": np.full(n, 0.03), "flux_h_alpha_err": random.uniform(2, 6, n)}
    redshift = true["redshift"] + errors["redshift_err"] * random.standard_normal(n)
    flux = true["flux"] + errors["flux_h_alpha_err"] * random.standard_normal(n)
    catalogue = objid.assign(redshift=redshift, flux_h_alpha=flux, **errors)
    values = {"redshift": redshift, "log1p_h_alpha": np.log1p(flux)}
    features = objid.assign(set=np.where(np.arange(n) % 2, "test", "train"), **values)
    return (
        catalogue,
        features,
        {"redshift": true["redshift"], "log1p_h_alpha": np.log1p(true["flux"])},
    )


def test_the_ceiling_is_the_accuracy_of_whoever_knows_the_true_values(tmp_path):
    catalogue, features, true = _noisy()
    write_table(tmp_path / "features.parquet", features)
    known = pd.concat(
        [
            features[["objid", "set"]].assign(target=name, prediction=values, method="prophet")
            for name, values in true.items()
        ]
    ).assign(split="galaxy", block=-1)
    write_table(tmp_path / "baselines.parquet", known)
    catalogue.loc[catalogue.index[::5], "redshift_err"] = -1.0  # none
    _score(tmp_path, [], catalogue)
    rows = read_table(tmp_path / "scores.parquet").set_index(["method", "target"])
    assert rows.loc["ceiling", "n"].to_dict() == {"redshift": 1600, "log1p_h_alpha": 2000}
    for target in true:
        limit, prophet = (rows.loc[(method, target)] for method in ("ceiling", "prophet"))
        assert limit["r2"] == pytest.approx(prophet["r2"], abs=0.02)
        assert limit["r2_low"] < limit["r2"] < limit["r2_high"] < 0.9
    assert np.isnan(rows.loc[("ceiling", "redshift"), "rmse"])


def test_errors_of_black_hole_masses_are_those_of_the_dispersion():
    catalogue = pd.DataFrame(
        {
            "objid": [1, 2, 3],
            "velocity_dispersion": [200.0, 50.0, 850.0],
            "velocity_dispersion_err": [2.0, 100.0, -4.0],
            "log_sfr_err": [0.2, 0.0, np.nan],
        }
    )
    settings = Targets(properties=["log_black_hole_mass", "log_sfr", "log_stellar_mass"], lines=[])
    errors = target_errors(catalogue, settings)
    assert list(errors) == ["log_black_hole_mass", "log_sfr"]  # the mass has no error here
    slope = 5.64
    assert errors["log_black_hole_mass"].iloc[0] == pytest.approx(
        slope * 0.01 / np.log(10), rel=0.01
    )
    assert errors["log_black_hole_mass"].iloc[1] == pytest.approx(slope * np.log10(3))
    assert errors["log_black_hole_mass"].isna().tolist() == [False, False, True]
    assert errors["log_sfr"].isna().tolist() == [False, True, True]
