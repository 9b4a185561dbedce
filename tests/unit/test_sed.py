"""The fits that the posteriors are set beside, and how both are compared."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from posterior_files import write_posteriors

from mgsflow.config import Evaluation, Photometry, Selection
from mgsflow.config.evaluation import Sed
from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, write_json
from mgsflow.core.tables import read_notes, read_table, write_table
from mgsflow.evaluation.sed import fit_sed as fit
from mgsflow.evaluation.sed import nested
from mgsflow.evaluation.sed.compare_speed import compare_speed
from mgsflow.evaluation.sed.galaxies import choose
from mgsflow.evaluation.sed.templates import TemplateFitter
from mgsflow.inference.draws import PosteriorSet
from mgsflow.report.table_sed import table_sed
from mgsflow.report.writing import read_shown
from mgsflow.sky.simulated.population import distance_modulus
from mgsflow.sky.simulated.seds import YOUNG, sed_grid

BANDS = "ugriz"
VARIANT, TOLD = "photometry-observed", "photometry-rest_frame"
N, DRAWS = 40, 500


# ---------------------------------------------------------------- which galaxies, what they show


@pytest.fixture
def catalogue(tmp_path) -> Path:
    """Features and selected galaxies; of the 30 of the test set, one lacks u and one its error."""
    random = np.random.default_rng(1)
    features = pd.DataFrame({"objid": np.arange(N) + 10**18, "set": "test"})
    features.loc[:9, "set"] = "train"
    features[[f"mag_{b}" for b in BANDS]] = [19.0, 17.5, 16.8, 16.4, 16.2]
    features.loc[10, "mag_u"] = np.nan
    selected = features[["objid"]].sample(frac=1, random_state=0).reset_index(drop=True)
    selected["redshift"] = random.uniform(0.05, 0.15, N)
    selected[[f"mag_err_{b}" for b in BANDS]] = 0.01
    selected.loc[selected["objid"] == features.loc[11, "objid"], "mag_err_z"] = np.nan
    write_table(tmp_path / "features.parquet", features)
    write_table(tmp_path / "selected.parquet", selected)
    return tmp_path


def test_test_galaxies_with_all_bands_are_fitted_with_the_calibrations_error(catalogue):
    found = choose(catalogue / "features.parquet", catalogue / "selected.parquet", True, seed=1)
    assert sorted(found.objid) == [10**18 + i for i in range(12, N)]
    selected = read_table(catalogue / "selected.parquet").set_index("objid")
    assert np.array_equal(found.redshift, selected.loc[found.objid, "redshift"])
    shown = np.array([19.0 - 0.04, 17.5, 16.8, 16.4, 16.2 + 0.02])  # AB
    assert np.allclose(-2.5 * np.log10(found.maggies), shown)
    relative = found.errors / found.maggies / (0.4 * np.log(10))
    assert np.allclose(relative, np.hypot(0.01, [0.05, 0.02, 0.02, 0.02, 0.03]))
    assert np.array_equal(found.first(3).objid, found.objid[:3])
    unshifted = choose(
        catalogue / "features.parquet", catalogue / "selected.parquet", False, seed=1
    )
    assert np.allclose(-2.5 * np.log10(unshifted.maggies[:, 0]), 19.0)


def test_a_test_set_without_whole_photometry_is_named(catalogue):
    features = read_table(catalogue / "features.parquet")
    write_table(catalogue / "features.parquet", features.assign(mag_i=np.nan))
    with pytest.raises(UserError, match="no test galaxy has all of u, g, r, i, z"):
        choose(catalogue / "features.parquet", catalogue / "selected.parquet", True, seed=1)


def test_kcorrect_finds_the_mass_that_the_simulated_skys_light_was_made_of():
    """The same templates, mass scale and cosmology on both sides: here there is no other error."""
    redshift, log_mass = np.array([0.05, 0.12, 0.2]), np.array([9.0, 10.0, 11.0])
    masses = np.zeros((3, 5))
    masses[:, YOUNG] = 10**log_mass
    unit = sed_grid(0.3).flux(redshift, np.zeros(3), masses)
    maggies = unit * 10 ** (-0.4 * distance_modulus(redshift, 0.3))[:, None]
    found = TemplateFitter(0.2).masses(redshift, maggies, 0.02 * maggies)
    assert np.allclose(found, log_mass, atol=0.02)


# ---------------------------------------------------------------- the stage that fits


class _Clock:
    """Processor time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        return self.now


def _fake_fitter(clock: _Clock) -> type:
    class Fake:
        def __init__(self, redshift: tuple[float, float], live_points: int, draws: int) -> None:
            assert (redshift, live_points) == ((0.002, 0.3), 77)
            self.draws = draws
            clock.now += 11.0

        def fit(self, objid: int, maggies: np.ndarray, errors: np.ndarray) -> dict:
            assert maggies.shape == errors.shape == (5,)
            clock.now += 60.0 + objid % 10
            values = np.linspace(10.0, 11.0, self.draws)
            rate = np.where(values > 10.5, values - 10.0, -np.inf)  # half form no stars at all
            return {"redshift": values / 100, "log_stellar_mass": values, "log_sfr": rate}

    return Fake


@pytest.fixture
def clock(monkeypatch) -> _Clock:
    """The time that the stage reads, with a fitter in bagpipes' place that makes it pass."""
    clock = _Clock()
    monkeypatch.setattr(fit, "time", clock)
    monkeypatch.setattr(fit, "NestedFitter", _fake_fitter(clock))
    monkeypatch.setattr(fit, "version", lambda name: f"{name}'s")
    return clock


def _fit(folder: Path, galaxies: int, draws: int = 101) -> None:
    fit.fit_sed(
        features=folder / "features.parquet",
        selected=folder / "selected.parquet",
        photometry=Photometry(),
        selection=Selection(),
        sed=Sed(galaxies=galaxies, live_points=77),
        evaluation=Evaluation(speed_draws=draws),
        seed=1,
        checkpoints=folder / "checkpoints",
        code="a digest",
        out=folder / "sed.parquet",
    )


def test_a_stopped_run_goes_on_from_its_last_galaxy(catalogue, clock, monkeypatch):
    fitted = []

    class Stopping(fit.NestedFitter):
        def fit(self, objid: int, maggies: np.ndarray, errors: np.ndarray) -> dict:
            fitted.append(objid)
            if len(fitted) == 3:
                raise KeyboardInterrupt
            return super().fit(objid, maggies, errors)

    monkeypatch.setattr(fit, "NestedFitter", Stopping)
    with pytest.raises(KeyboardInterrupt):
        _fit(catalogue, 4)
    _fit(catalogue, 4)
    assert len(fitted) == 5 and fitted[2] == fitted[3] and len(set(fitted)) == 4
    resumed = read_table(catalogue / "sed.parquet")
    assert not (catalogue / "checkpoints").exists()
    _fit(catalogue, 4)
    pd.testing.assert_frame_equal(read_table(catalogue / "sed.parquet"), resumed)
    assert len(fitted) == 9


def test_each_fit_has_its_own_time_and_its_posterior_in_quantiles(catalogue, clock):
    _fit(catalogue, 4)
    table, notes = read_table(catalogue / "sed.parquet"), read_notes(catalogue / "sed.parquet")
    fits = table[table["method"] == "bagpipes"]
    order = choose(catalogue / "features.parquet", catalogue / "selected.parquet", True, 1).objid
    assert fits["objid"].unique().tolist() == order[:4].tolist()
    assert (fits["core_seconds"] == 60.0 + fits["objid"] % 10).all()
    mass = fits[fits["target"] == "log_stellar_mass"]
    assert np.allclose(mass[["q16", "q50", "q84", "mean"]], [10.16, 10.5, 10.84, 10.5])
    assert np.isfinite(fits.loc[fits["target"] == "log_sfr", "mean"]).all()
    assert notes["bagpipes_start_core_seconds"] == 11.0
    assert (notes["draws"], notes["live_points"]) == (101, 77)
    templates = table[table["method"] == "kcorrect"]
    assert set(templates["objid"]) == set(order)
    assert templates["mean"].between(8, 12).all() and templates["std"].isna().all()


def test_without_bagpipes_its_environment_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bagpipes", None)
    with pytest.raises(UserError, match="environment `sed`"):
        nested.NestedFitter((0.002, 0.3), 50, 10)


@pytest.mark.slow
def test_bagpipes_finds_the_galaxy_that_it_made():
    bagpipes = pytest.importorskip("bagpipes", reason="bagpipes is in the environment sed alone")
    fitter = nested.NestedFitter((0.002, 0.3), live_points=100, draws=300)
    model = nested.model((0.002, 0.3))
    history = {"age": 8.0, "tau": 3.0, "massformed": 10.6, "metallicity": 1.0}
    made = bagpipes.model_galaxy(
        {
            "redshift": 0.1,
            "delayed": history,
            "dust": {**model["dust"], "Av": 0.5},
            "nebular": model["nebular"],
        },
        filt_list=fitter._filters,
        phot_units="mujy",
    )
    maggies = made.photometry / nested.MICROJANSKY
    drawn = fitter.fit(1, maggies, 0.03 * maggies)
    assert {len(values) for values in drawn.values()} == {300}
    truth = {
        "redshift": 0.1,
        "log_stellar_mass": made.sfh.stellar_mass + np.log10(0.61 / 0.66),
        "log_sfr": np.log10(made.sfh.sfr * 0.63 / 0.67),
    }
    for target, value in truth.items():
        low, high = np.quantile(drawn[target], [0.005, 0.995])
        assert low <= value <= high, target


# ---------------------------------------------------------------- the comparison


@pytest.fixture
def compared(tmp_path) -> dict:
    """Inputs of which every figure of the comparison is known. Eight of 40 galaxies are fitted."""
    random = np.random.default_rng(2)
    objid = np.arange(N, dtype=np.int64)
    truth = pd.DataFrame({"objid": objid, "log_stellar_mass": random.normal(10.5, 0.5, N)})
    truth["log_sfr"] = random.normal(0, 1, N)
    write_table(tmp_path / "truth.parquet", truth)
    rows = []
    for i in objid[:8]:
        for target, off in (("log_stellar_mass", 0.3), ("log_sfr", -0.2), ("redshift", 0.0)):
            value = truth[target][i] + off if target in truth else 0.1
            # of the masses only the intervals of two galaxies reach as far as the truth
            reach = 0.4 if i < 2 or target != "log_stellar_mass" else 0.1
            rows.append((i, "bagpipes", target, value + 9, 1, value - reach, value, value + reach))
    fits = pd.DataFrame(rows, columns=["objid", "method", "target", "mean", "std", *fit.QUANTILES])
    fits["core_seconds"] = 80.0 + fits["objid"]
    templates = pd.DataFrame({"objid": objid, "mean": truth["log_stellar_mass"] + 0.05})
    templates = templates.assign(
        method="kcorrect", target="log_stellar_mass", core_seconds=0.0002, std=np.nan
    )
    notes = {"draws": DRAWS, "kcorrect_single_core_seconds": 0.001, "live_points": 400}
    notes |= {"processor": "a processor"}
    write_table(tmp_path / "sed.parquet", pd.concat([fits, templates]), notes=notes)
    paths = []
    for name, width in ((VARIANT, 0.1), (TOLD, 0.05)):
        centre = np.stack([truth["log_sfr"], truth["log_stellar_mass"]], axis=1)
        centre = centre + random.normal(0, width, centre.shape)
        draws = centre[:, None, None] + random.normal(0, width, (N, 2, DRAWS, 2))
        paths.append(tmp_path / f"{name}.h5")
        given = PosteriorSet(
            objid, draws.astype(np.float32), draws[:, :, 0], centre, None,
            ["log_sfr", "log_stellar_mass"], name,
        )  # fmt: skip
        write_posteriors(paths[-1], {"validation": given, "test": given})
    write_json(
        tmp_path / "speed.json",
        {
            "variant": VARIANT, "device": "a processor", "device_type": "cpu", "threads": 2,
            "draws": DRAWS, "members": 2,
            "batch": {"galaxies": 64, "total": 0.004, "core_seconds": 0.008},
            "single": {"galaxies": 1, "total": 0.02, "core_seconds": 0.04},
            "training": {
                "vae": {"wall_seconds": 100.0, "cpu_seconds": 190.0},
                f"property/{VARIANT}": {"wall_seconds": 300.0, "cpu_seconds": 310.0},
            },
        },
    )  # fmt: skip
    return {
        "sed": tmp_path / "sed.parquet",
        "truth": tmp_path / "truth.parquet",
        "speed": tmp_path / "speed.json",
        "posteriors": paths,
        "out": tmp_path / "comparison.json",
    }


def test_core_seconds_ratios_and_the_number_of_galaxies_that_pays(compared):
    compare_speed(**compared)
    result = read_json(compared["out"])
    assert result["core_seconds"]["ours"] == {"batch": 0.008, "single": 0.04}  # of two threads
    assert result["core_seconds"]["bagpipes"]["batch"] == pytest.approx(83.5)
    assert result["bagpipes_range"] == [80.0, 87.0]
    assert result["ratios"]["bagpipes"]["batch"] == pytest.approx(83.5 / 0.008)
    assert result["ratios"]["kcorrect"]["single"] == pytest.approx(0.001 / 0.04)
    assert result["training"]["core_seconds"] == 500.0 and result["remark"] == ""
    assert result["training"]["break_even"] == pytest.approx(500 / (83.5 - 0.008))
    assert result["goal"] == 1e4


def test_times_of_two_processors_have_no_ratio(compared, tmp_path):
    write_json(compared["speed"], read_json(compared["speed"]) | {"device": "another"})
    compare_speed(**compared)
    result = read_json(compared["out"])
    assert result["ratios"] == {} and result["training"]["break_even"] is None
    assert "timed on another, the fits on a processor" in result["remark"]
    table_sed(comparison=compared["out"], out=tmp_path / "t.csv")
    shown = read_shown(tmp_path / "t.json")
    assert shown["Method"].iloc[-1] == result["remark"]
    assert set(shown["Times ours, many"]) == {"–"}


def test_on_a_gpu_its_seconds_count_once_and_the_goal_is_another(compared):
    facts = read_json(compared["speed"])
    write_json(compared["speed"], facts | {"device_type": "cuda"})
    compare_speed(**compared)
    result = read_json(compared["out"])
    assert result["core_seconds"]["ours"]["batch"] == 0.004
    assert result["training"]["core_seconds"] == 400.0
    assert result["goal"] == 1e6


def test_fits_that_are_faster_than_ours_never_make_the_training_pay(compared):
    facts = read_json(compared["speed"])
    slow = {"galaxies": 64, "total": 50.0, "core_seconds": 100.0}
    write_json(compared["speed"], facts | {"batch": slow})
    compare_speed(**compared)
    assert read_json(compared["out"])["training"]["break_even"] is None


def test_accuracy_is_of_medians_against_the_truth(compared):
    compare_speed(**compared)
    rows = pd.DataFrame(read_json(compared["out"])["accuracy"])
    rows = rows.set_index(["sample", "method", "target"]).sort_index()
    fitted = rows.loc["fitted", "bagpipes", "log_stellar_mass"]
    assert fitted["galaxies"] == 8 and np.isnan(fitted["r2"])  # too few
    assert fitted["bias"] == pytest.approx(0.3) and fitted["scatter"] == pytest.approx(0, abs=1e-6)
    assert fitted["coverage_68"] == pytest.approx(2 / 8)
    assert rows.loc["fitted", "bagpipes", "log_sfr"]["coverage_68"] == 1.0
    assert rows.loc["test", "kcorrect", "log_stellar_mass"]["bias"] == pytest.approx(0.05)
    assert np.isnan(rows.loc["test", "kcorrect", "log_stellar_mass"]["coverage_68"])
    ours = rows.loc["test", VARIANT, "log_stellar_mass"]
    assert ours["galaxies"] == N and 0.05 < ours["scatter"] < 0.15 and ours["r2"] > 0.9
    assert 0.4 < ours["coverage_68"] < 0.9
    assert ("test", "bagpipes", "log_sfr") not in rows.index
    assert "redshift" not in rows.index.get_level_values("target")


def test_times_of_unequal_draws_are_refused(compared):
    write_json(compared["speed"], read_json(compared["speed"]) | {"draws": 10})
    with pytest.raises(UserError, match="compared at equal draws"):
        compare_speed(**compared)


def test_the_table_has_a_row_a_method_and_who_is_told_the_redshift(compared, tmp_path):
    compare_speed(**compared)
    table_sed(comparison=compared["out"], out=tmp_path / "sed.csv")
    shown = read_shown(tmp_path / "sed.json").set_index("Method")
    assert shown.index[0] == "bagpipes"
    assert shown.iloc[0].tolist()[:4] == ["1.39 min", "1.39 min", "1.04e+04", "2.09e+03"]
    assert shown.iloc[0, 5].startswith("0.30 / 0.00 / ") and shown.iloc[0, 5].endswith("25%")
    ours = shown.loc["Photometry (observed colours)"]
    assert ours["Core time a galaxy, many"].tolist() == ["8 ms", "–"]
    assert ours["Judged by"].tolist() == ["8, all alike", "40, the whole test set"]
    assert "Photometry (rest-frame colours) (given the redshift)" in shown.index
    assert shown.loc["kcorrect (given the redshift)"].iloc[0, 2] == "0.025"
    training = next(name for name in shown.index if name.startswith("Training"))
    assert "5.99 galaxies" in training and shown.loc[training].iloc[0] == "8.33 min"
    published = [name for name in shown.index if name.endswith("published)")]
    assert any("Hahn & Melchior 2022" in name for name in published)
