"""Compare our flow with extra trees on RESOLVE by cross-validation, for docs/real-data.md.

    python studies/resolve.py

The galaxies, inputs and settings are those of tests/real/resolve.yaml; the folder of the catalogue
is given by MGSFLOW_REAL_DATA or --real. Each galaxy is predicted once, by models fitted to the
other four folds, which are the same for both methods; a flow uses a fifth of its galaxies for early
stopping. Writes studies/results/resolve.json and prints the table, which the page quotes in full;
`--table` prints it from the existing JSON file, without any data. It takes about ten minutes on one
core.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from sample_table import sample_table
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from mgsflow.config import Settings, validate
from mgsflow.core.files import read_json, write_json
from mgsflow.core.markdown import markdown_table
from mgsflow.core.quantities import METALLICITY, in_table_order, short_name
from mgsflow.core.seeds import derive_seed
from mgsflow.evaluation import metrics
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.models.branch import Architecture
from mgsflow.models.inputs import input_columns
from mgsflow.models.standardise import Standardiser
from mgsflow.posterior.ensemble import Ensemble
from mgsflow.posterior.posterior import Posterior
from mgsflow.report.writing import show_interval
from mgsflow.training.heads import Rows
from mgsflow.training.members import fit_members

ROOT = Path(__file__).resolve().parent.parent
RESULTS, CONFIGURATION = ROOT / "studies/results/resolve.json", ROOT / "tests/real/resolve.yaml"
VARIANT, SEED, FOLDS = "photometry-observed", 1, 5
TREES, DRAWS, RESAMPLES = 500, 1000, 2000
METHODS = {"trees": "Extra trees", "flow": "Flow, posterior mean", "head": "Flow, mean head alone"}


def resolve_table(settings: Settings, catalogue: Path) -> pd.DataFrame:
    """Inputs and targets of the galaxies that a run keeps: metallicity alone may be missing."""
    with tempfile.TemporaryDirectory() as name:
        table = sample_table(Path(name), settings, SEED, sky="catalogue", source=catalogue)
    inputs = input_columns(VARIANT, settings.photometry.bands, table.columns)
    needed = [*inputs, *settings.targets.properties, *settings.targets.lines]
    whole = np.isfinite(table[[name for name in needed if name != METALLICITY]]).all(axis=1)
    return table.loc[whole, ["objid", *needed]].reset_index(drop=True)


def cross_validate(table: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Predictions of every galaxy out of fold, (n, targets), by method; draws; seconds."""
    inputs = input_columns(VARIANT, settings.photometry.bands, table.columns)
    goals = settings.targets.properties
    found = {method: np.empty((len(table), len(goals))) for method in METHODS}
    found["draws"] = np.empty((len(table), DRAWS, len(goals)), np.float32)
    seconds = dict.fromkeys(("trees", "flow"), 0.0)
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    for number, (fitted, held) in enumerate(folds.split(table)):
        began = time.perf_counter()
        found["trees"][held] = predict_by_trees(table, inputs, goals, fitted, held)
        seconds["trees"] += time.perf_counter() - began
        began = time.perf_counter()
        posterior = train(table.iloc[fitted], inputs, settings, derive_seed(SEED, number))
        values = table.iloc[held][inputs].to_numpy()
        found["draws"][held] = posterior.sample(values, DRAWS, seed=number)
        found["flow"][held] = found["draws"][held].mean(axis=1, dtype=np.float64)
        found["head"][held] = posterior.mean_head(values).mean(axis=1)
        seconds["flow"] += time.perf_counter() - began
        print(f"fold {number + 1} of {FOLDS}: {seconds}", flush=True)
    return found | {"seconds": seconds}


def predict_by_trees(
    table: pd.DataFrame,
    inputs: list[str],
    goals: list[str],
    fitted: np.ndarray,
    held: np.ndarray,
    trees: int = TREES,
) -> np.ndarray:
    """Extra trees (Geurts et al. 2006) by target: scikit-learn's defaults, except 500 trees."""
    columns = []
    for goal in goals:
        rows = fitted[np.isfinite(table[goal].to_numpy()[fitted])]
        method = ExtraTreesRegressor(trees, random_state=SEED)
        method.fit(table.iloc[rows][inputs].to_numpy(), table.iloc[rows][goal].to_numpy())
        columns.append(method.predict(table.iloc[held][inputs].to_numpy()))
    return np.stack(columns, axis=1)


def train(table: pd.DataFrame, inputs: list[str], settings: Settings, seed: int) -> Posterior:
    """The posterior of the property flow, trained on these galaxies as by train-flow."""
    goals, flows = settings.targets.properties, settings.flows
    random = np.random.default_rng(seed)
    order = random.permutation(len(table))
    cut = len(table) // FOLDS
    validation, fitted = table.iloc[order[:cut]], table.iloc[order[cut:]]
    scales = [Standardiser.fit(fitted[names].to_numpy()) for names in (inputs, goals)]

    def rows(part: pd.DataFrame) -> Rows:
        values = (part[inputs].to_numpy(), part[goals].to_numpy())
        return Rows(*(torch.from_numpy(s.apply(v)) for s, v in zip(scales, values, strict=True)))

    detects = bool(fitted[METALLICITY].isna().any())
    architecture = Architecture.of(len(inputs), goals, detects, flows)
    seeds = [derive_seed(seed, member) for member in range(flows.members)]
    branches, _ = fit_members(rows(fitted), rows(validation), architecture, flows, seeds)
    members = [branch.eval().requires_grad_(False) for branch in branches]
    return Posterior([Ensemble(VARIANT, inputs, goals, *scales, members)])


def compare(table: pd.DataFrame, found: dict[str, Any], goals: list[str]) -> dict[str, Any]:
    """R2 for each target and method with its bootstrap interval, and the paired differences."""
    result: dict[str, Any] = {}
    for column, goal in enumerate(goals):
        truth = table[goal].to_numpy(np.float64)
        known = np.isfinite(truth)
        truth, draws = truth[known], found["draws"][known, :, column]
        values = {method: found[method][known, column] for method in METHODS}
        row: dict[str, Any] = {"galaxies": len(truth)}
        row["r2"] = {m: _interval(metrics.r2, (truth, v), goal) for m, v in values.items()}
        # the same resamples for both methods, so that common scatter cancels
        row["gain"] = {
            method: _interval(_difference, (truth, values[method], values["trees"]), goal)
            for method in ("flow", "head")
        }
        row["coverage"] = [metrics.coverage(draws, truth, level) for level in (0.68, 0.95)]
        row["crps"] = metrics.crps(draws, truth)
        row["mae_trees"] = metrics.mean_absolute_error(truth, values["trees"])
        result[goal] = row
    return result


def _difference(truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
    return metrics.r2(truth, ours) - metrics.r2(truth, theirs)


def _interval(statistic: Any, arrays: tuple[np.ndarray, ...], goal: str) -> list[float]:
    """Value, and the lower and upper end of its 95% interval."""
    seed = derive_seed(SEED, "bootstrap", goal)
    return list(astuple(bootstrap(statistic, arrays, RESAMPLES, seed)))


def markdown(result: dict[str, Any]) -> str:
    """The table of docs/real-data.md."""
    goals = in_table_order(result["targets"])
    every = [result["targets"][goal] for goal in goals]
    heads = [
        f"{short_name(goal)} ({row['galaxies']})" for goal, row in zip(goals, every, strict=True)
    ]
    lines = []

    def add(name: str, rows: list[dict[str, Any]], kind: str, method: str) -> None:
        cells = [show_interval(*row[kind][method], 3) for row in rows]
        lines.append([name, *cells])

    for method, name in METHODS.items():
        add(name, every, "r2", method)
    for method in ("flow", "head"):
        add(f"{METHODS[method]}, minus extra trees", every, "gain", method)
    shares = [" / ".join(f"{100 * share:.0f}%" for share in row["coverage"]) for row in every]
    lines.append(["Coverage of the flow's 68 / 95% intervals", *shares])
    return markdown_table(["R², out of fold", *heads], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("MGSFLOW_REAL_DATA", ROOT.parent / "shared/real")
    parser.add_argument("--real", type=Path, default=Path(default))
    parser.add_argument("--table", action="store_true", help="only print the table")
    args = parser.parse_args()
    if not args.table:
        torch.set_num_threads(1)
        settings = validate(yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8")))
        table = resolve_table(settings, args.real / "resolve.parquet")
        with threadpool_limits(limits=1):
            found = cross_validate(table, settings)
        result = {
            "galaxies": len(table),
            "folds": FOLDS,
            "trees": TREES,
            "seed": SEED,
            "seconds": found["seconds"],
            "targets": compare(table, found, settings.targets.properties),
        }
        write_json(RESULTS, result)
    print(markdown(read_json(RESULTS)))


if __name__ == "__main__":
    main()
