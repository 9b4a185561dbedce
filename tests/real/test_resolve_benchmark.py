"""The table of flow and extra trees in docs/real-data.md is that of studies/resolve.py."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import yaml
from sklearn.model_selection import KFold

from mgsflow.config import validate
from mgsflow.core.files import read_json
from mgsflow.evaluation.metrics import r2


@pytest.fixture(scope="module")
def benchmark(repository):
    """studies/resolve.py, which is in no package."""
    sys.path.insert(0, str(repository / "studies"))
    yield importlib.import_module("resolve")
    sys.path.remove(str(repository / "studies"))


def test_the_page_has_the_table_of_the_results(benchmark, repository):
    page = (repository / "docs/real-data.md").read_text(encoding="utf-8")
    assert benchmark.markdown(read_json(benchmark.RESULTS)) in page


def test_the_results_hold_what_the_page_says_of_them(benchmark):
    """Which method is ahead, by the intervals of the paired differences: (value, low, high)."""
    results = read_json(benchmark.RESULTS)
    gains = {name: row["gain"] for name, row in results["targets"].items()}
    # mass: ahead by little, beyond the interval
    value, low, _ = gains["log_stellar_mass"]["flow"]
    assert 0 < low < value < 0.01
    # star formation: behind by less than the interval tells; metallicity: ahead
    value, _, high = gains["log_sfr"]["flow"]
    assert -0.03 < value < 0 < high
    assert gains["metallicity"]["flow"][1] > 0
    for row in results["targets"].values():
        assert row["coverage"] == pytest.approx([0.68, 0.95], abs=0.05)


@pytest.mark.slow
def test_extra_trees_come_out_again(benchmark, real_data):
    """On the run's own 1298 galaxies; fewer trees, of one fold, are enough to tell."""
    settings = validate(yaml.safe_load(benchmark.CONFIGURATION.read_text(encoding="utf-8")))
    table = benchmark.resolve_table(settings, real_data / "resolve.parquet")
    results = read_json(benchmark.RESULTS)
    assert len(table) == results["galaxies"] == 1298
    inputs = [name for name in table if name.startswith(("mag_", "colour_"))]
    goals = ["log_stellar_mass", "log_sfr"]
    folds = KFold(benchmark.FOLDS, shuffle=True, random_state=benchmark.SEED)
    found = np.empty((len(table), len(goals)))
    for fitted, held in folds.split(table):
        found[held] = benchmark.predict_by_trees(table, inputs, goals, fitted, held, trees=40)
    for column, goal in enumerate(goals):
        stated = results["targets"][goal]["r2"]["trees"][0]
        assert r2(table[goal].to_numpy(), found[:, column]) == pytest.approx(stated, abs=0.015)
