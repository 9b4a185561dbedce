"""studies/photometric_redshift.py: that it runs, scores rightly and sees no test galaxy.

Its figures, and docs/real-data.md's tables, come from a run of some twenty minutes.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys

import numpy as np
import pytest

from mgsflow.core.files import read_json


@pytest.fixture(scope="module")
def benchmark(repository):
    """Imports a module of studies/, which is no package."""
    sys.path.insert(0, str(repository / "studies"))
    yield importlib.import_module
    sys.path.remove(str(repository / "studies"))


@pytest.fixture
def galaxies(benchmark):
    """200 made galaxies, whose redshift their magnitudes tell."""
    random = np.random.default_rng(5)
    redshift = random.uniform(0.02, 0.2, 200)
    magnitudes = 16 + 10 * redshift[:, None] + random.normal(0, 0.2, (200, 5))
    inputs = np.column_stack([magnitudes[:, :-1] - magnitudes[:, 1:], magnitudes])
    names = [f"colour_{i}" for i in range(4)] + [f"mag_{i}" for i in range(5)]
    return benchmark("photoz_data").Galaxies(inputs, names, redshift, {})


@pytest.mark.slow
def test_a_small_run_without_sbi(benchmark, real_data, tmp_path, monkeypatch, capsys):
    script, out = benchmark("photometric_redshift"), tmp_path / "out.json"
    monkeypatch.setattr(script, "sbi_is_there", lambda: False)
    names = ["flow", "support vectors", "flow, in-sample residuals"]
    sizes = ["--galaxies", "100", "--quick", "--resamples", "20"]
    files = ["--real", str(real_data), "--work", str(tmp_path / "work"), "--out", str(out)]
    script.main([*files, *sizes, "--methods", *names])
    result, printed = read_json(out), capsys.readouterr().out
    assert {*names, "flow, one member", "flow, heads alone"} <= set(result["rows"])
    assert result["left_out"] == ["NPE: sbi is not installed"]
    assert result["galaxies"] == 100
    assert result["left"]["class is not GALAXY (catalogue.where)"] == 3288
    assert sum(result["left"].values()) + 100 == 6521
    for row in result["rows"].values():
        assert np.isfinite(list(row["figures"].values())).all()
    assert "| mgsflow |" in printed and "NPE" not in printed


def test_the_folds_are_disjoint_and_hold_all(benchmark):
    folds = benchmark("photoz_data").outer_folds(103, seed=4)
    assert sorted(np.concatenate(folds)) == list(range(103))
    assert {len(fold) for fold in folds} == {20, 21}
    assert not np.array_equal(folds[0], benchmark("photoz_data").outer_folds(103, seed=5)[0])


def test_no_position_is_among_the_inputs(benchmark, real_data):
    found = benchmark("photoz_data").read_galaxies(real_data, 50, seed=1)
    colours = ["colour_u_g", "colour_g_r", "colour_r_i", "colour_i_z"]
    assert found.names == [*colours, *(f"mag_{band}" for band in "ugriz")]


def test_the_test_fold_touches_nothing(benchmark, galaxies):
    """Settings, weights and posteriors are the same when its galaxies are other ones."""
    flow = benchmark("photoz_flow")
    train, test = np.arange(160), np.arange(160, 200)
    hidden = dataclasses.replace(
        galaxies,
        inputs=np.where(np.arange(200)[:, None] < 160, galaxies.inputs, np.nan),
        redshift=np.where(np.arange(200) < 160, galaxies.redshift, np.nan),
    )
    points = []
    for given in (galaxies, hidden):
        settings = flow.settings_of_run(quick=True)
        chosen = flow.tune(given, train, settings, seed=2)
        trial = flow.Trial(settings.model_copy(update=chosen))
        points.append(flow.fit(given, train, trial, 3).predict(galaxies.inputs[test], 4).point)
    assert np.isfinite(points[0]).all()
    np.testing.assert_array_equal(*points)


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("own_validation", [False, True])
def test_densities_are_per_unit_redshift(benchmark, galaxies, logarithm, own_validation):
    """They integrate to one over z, of log z with its Jacobian; and their mean is the draws'."""
    flow = benchmark("photoz_flow")
    settings = flow.settings_of_run(quick=True)
    trial = flow.Trial(settings, logarithm=logarithm, own_validation=own_validation)
    fitted = flow.fit(galaxies, np.arange(160), trial, seed=3)
    grid = np.linspace(1e-3 if logarithm else -0.6, 1.2, 601)
    one = np.repeat(galaxies.inputs[[170]], len(grid), axis=0)
    density = np.exp(fitted.predict(one, 1).log_density(grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)
    points = fitted.predict(np.repeat(galaxies.inputs[[170]], 20, axis=0), 1).point
    assert points.mean() == pytest.approx(np.trapezoid(grid * density, grid), rel=0.02)


def test_scores_know_a_calibrated_posterior_from_a_narrow_one(benchmark):
    scores, methods = benchmark("photoz_scores"), benchmark("photoz_methods")
    random = np.random.default_rng(3)
    truth = random.uniform(0.05, 0.25, 1500)
    point = truth + random.normal(0, 0.02, 1500)

    def posterior(width: float) -> dict[str, np.ndarray]:
        draws = point[:, None] + random.normal(0, width, (1500, 400))
        told = methods.Predicted(
            point, draws, lambda z: -0.5 * ((z - point) / width) ** 2 - np.log(width)
        )
        return scores.arrays_of(told, truth, seed=1)

    right, narrow = posterior(0.02), posterior(0.01)
    good, bad = scores.figures(right), scores.figures(narrow)
    assert good["pit_band_p"] > 0.01 and good["pit_ks_p"] > 0.01
    assert bad["pit_band_p"] < 1e-3 and bad["pit_ks_p"] < 1e-3
    assert good["coverage_68"] == pytest.approx(0.68, abs=0.04)
    assert bad["coverage_68"] == pytest.approx(0.38, abs=0.04)
    against = scores.differences(right, narrow, 200, seed=2)
    assert against["log_density"]["low"] > 0 and against["crps"]["high"] < 0
    assert against["r2"] == {"difference": 0.0, "low": 0.0, "high": 0.0}  # paired: one point each


def test_the_page_has_the_tables_of_the_last_run(repository, benchmark):
    result = read_json(repository / "studies/results/photometric_redshift.json")
    assert not result["made"]["quick"] and result["made"]["galaxies"] is None
    assert (
        benchmark("photoz_tables").markdown(result)
        in (repository / "docs/real-data.md").read_text()
    )
