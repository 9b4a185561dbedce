"""Compare photometric redshifts by mgsflow and other methods on the same folds of real galaxies.

    pip install -r envs/studies.lock && pip install --no-deps -e .   # in an environment of its own
    python studies/photometric_redshift.py

The folder of SkyServer's export is given by MGSFLOW_REAL_DATA or --real. There are five outer test
folds, on which nothing is fitted, stopped or tuned; tuning uses the other folds only. The
predictions of each method are stored in --work, fold by fold, so that an interrupted run continues.
Writes studies/results/photometric_redshift.json and docs/photometric-redshift.png and prints the
tables, which docs/real-data.md quotes in full. `--tables` prints them from the existing JSON file,
without any data. Without sbi its rows are left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from photoz_data import FOLDS, Galaxies, outer_folds, read_galaxies
from photoz_flow import CHANGED_MEMBERS, GRID, Trial, changes, fit, settings_of_run, tune
from photoz_methods import (
    Predicted,
    boosting,
    neural_posterior,
    perceptrons,
    sbi_is_there,
    support_vectors,
)
from photoz_scores import Arrays, arrays_of, differences, figures
from photoz_tables import markdown
from threadpoolctl import threadpool_limits

from mgsflow.config.models import Flows
from mgsflow.core.files import atomic_path, read_json, write_json
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.evaluation.calibration.bands import CELLS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "studies/results/photometric_redshift.json"
FIGURE = ROOT / "docs/photometric-redshift.png"
OURS, TWO = "flow", "flow, two members"
# These rows have a smaller ensemble, and are compared with one of the same size.
SMALLER = (
    "flow, out-of-fold residuals",
    "flow, in-sample residuals",
    "flow, affine",
    "flow, log z",
    "flow, untuned",
    "flow, magnitudes alone",
    "flow, colours alone",
)
PACKAGES = ("numpy", "scikit-learn", "scipy", "torch", "nflows", "sbi")

# Predictions of a method on one outer fold, by row of the table; one fit may give several rows.
Answers = dict[str, Predicted]
Method = Callable[[np.ndarray, np.ndarray, int, int], Answers]  # train, test, seed, fold


class Kept:
    """A folder with the predictions of the methods, one file per row and fold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str, fold: int) -> Path:
        return self.folder / f"{name}-{fold}".replace(" ", "_").replace(",", "")

    def has(self, name: str, fold: int) -> bool:
        return self._path(name, fold).with_suffix(".json").exists()

    def put(self, name: str, fold: int, arrays: Arrays, chosen: dict[str, Any]) -> None:
        with atomic_path(self._path(name, fold).with_suffix(".npz")) as temporary:
            np.savez(temporary, **arrays)
        write_json(self._path(name, fold).with_suffix(".json"), chosen)

    def chosen(self, name: str, fold: int) -> dict[str, Any]:
        return read_json(self._path(name, fold).with_suffix(".json"))

    def arrays(self, name: str) -> Arrays:
        """The predictions on all outer test folds, one after the other."""
        parts = [dict(np.load(self._path(name, k).with_suffix(".npz"))) for k in range(FOLDS)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def methods(galaxies: Galaxies, kept: Kept, flows: Flows) -> dict[str, Method]:
    """The methods by the name of their first row, in the order in which they run."""

    def regression(function: Callable[..., Predicted], name: str) -> Method:
        x, z = galaxies.inputs, galaxies.redshift
        return lambda train, test, seed, fold: {name: function(x[train], z[train], x[test], seed)}

    def flow(train: np.ndarray, test: np.ndarray, seed: int, fold: int) -> Answers:
        chosen = tune(galaxies, train, flows, seed)
        fitted = fit(galaxies, train, Trial(flows.model_copy(update=chosen)), seed)
        x = galaxies.inputs[test]
        whole = fitted.predict(x, seed)
        return {
            "flow, one member": fitted.predict(x, seed, members=1),
            TWO: fitted.predict(x, seed, members=CHANGED_MEMBERS),
            "flow, heads alone": fitted.heads(x),
            OURS: Predicted(whole.point, whole.draws, whole.log_density, chosen),
        }

    def changed(name: str, make: Callable[[Flows], Trial]) -> Method:
        def run(train: np.ndarray, test: np.ndarray, seed: int, fold: int) -> Answers:
            trial = make(flows.model_copy(update=kept.chosen(OURS, fold)))
            return {name: fit(galaxies, train, trial, seed).predict(galaxies.inputs[test], seed)}

        return run

    found = {
        OURS: flow,
        "boosting": regression(boosting, "boosting"),
        "support vectors": regression(support_vectors, "support vectors"),
        "bagged MLPs": regression(perceptrons, "bagged MLPs"),
    }
    if sbi_is_there():
        found["NPE"] = regression(neural_posterior, "NPE")
    found |= {name: changed(name, make) for name, make in changes(galaxies).items()}
    if sbi_is_there():
        on_z = partial(neural_posterior, logarithm=False)
        found["NPE, z itself"] = regression(on_z, "NPE, z itself")
        five = partial(neural_posterior, networks=5)
        found["NPE, five networks"] = regression(five, "NPE, five networks")
    return found


def run_all(galaxies: Galaxies, kept: Kept, chosen: list[str] | None, options: Any) -> None:
    """Run every method on every fold, except those that are stored."""
    folds = outer_folds(len(galaxies), options.seed)
    every = methods(galaxies, kept, settings_of_run(options.quick))
    for name, method in every.items():
        if chosen and name not in chosen:
            continue
        for fold, test in enumerate(folds):
            if kept.has(name, fold):
                continue
            train = np.concatenate([other for k, other in enumerate(folds) if k != fold])
            _run_fold(galaxies, kept, name, method, (train, test), fold, options.seed)


def _run_fold(
    galaxies: Galaxies,
    kept: Kept,
    name: str,
    method: Method,
    rows: tuple[np.ndarray, np.ndarray],
    fold: int,
    seed: int,
) -> None:
    started = time.process_time()
    train, test = rows
    answers = method(train, test, derive_seed(seed, "fold", fold), fold)
    seconds = time.process_time() - started
    for row, predicted in answers.items():
        arrays = arrays_of(predicted, galaxies.redshift[test], seed)
        kept.put(row, fold, arrays | {"seconds": np.array([seconds])}, predicted.chosen)
    say(f"{name}, fold {fold}: {seconds:.0f} s of CPU")


def _complete(kept: Kept) -> Iterator[str]:
    """Names of the rows that are stored for every fold, in the order of the table."""
    for name in ROWS:
        if all(kept.has(name, fold) for fold in range(FOLDS)):
            yield name


ROWS = (
    OURS, "boosting", "support vectors", "bagged MLPs", "NPE", "NPE, z itself",
    "NPE, five networks",
    "flow, one member", TWO, "flow, heads alone", "flow, own validation rows",
    *SMALLER,
)  # fmt: skip


def result(galaxies: Galaxies, kept: Kept, names: list[str], options: Any) -> dict[str, Any]:
    """All figures, as stored in the JSON file."""
    answers = {name: kept.arrays(name) for name in names}
    seconds = {name: float(arrays.pop("seconds").sum()) for name, arrays in answers.items()}
    rows = {}
    for name, arrays in answers.items():
        rows[name] = {
            "figures": figures(arrays),
            "chosen": [kept.chosen(name, fold) for fold in range(FOLDS)],
            "cpu_seconds": seconds[name],
        }
        base = TWO if name in SMALLER else OURS
        if name != base and base in answers:
            against = differences(answers[base], arrays, options.resamples, options.seed)
            rows[name]["flow_minus_this"] = against
        if "pit" in arrays:
            counts = np.histogram(arrays["pit"], CELLS, (0, 1))[0]
            rows[name]["pit_histogram"] = (counts / len(arrays["pit"])).tolist()
    made = {k: getattr(options, k) for k in ("seed", "resamples", "galaxies", "quick")}
    return {
        "made": made | {"folds": FOLDS, "grid": list(GRID)},
        "command": "python studies/photometric_redshift.py" + _arguments(options),
        "machine": machine(),
        "galaxies": len(galaxies),
        "left": galaxies.left,
        "settings": settings_of_run(options.quick).model_dump(mode="json"),
        "rows": rows,
        "left_out": [] if sbi_is_there() else ["NPE: sbi is not installed"],
    }


def _arguments(options: argparse.Namespace) -> str:
    """The options, without the folders of this machine and the order of the rows."""
    default = parser().get_default
    told = [f" --{name} {getattr(options, name)}" for name in ("galaxies", "resamples", "seed")
            if getattr(options, name) != default(name)]  # fmt: skip
    return "".join(told) + (" --quick" if options.quick else "")


def machine() -> dict[str, Any]:
    found = {name: version(name) for name in PACKAGES if name != "sbi" or sbi_is_there()}
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        "python": platform.python_version(),
        **found,
    }


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("MGSFLOW_REAL_DATA")
    found.add_argument("--real", type=Path, default=default, help="folder of real data")
    found.add_argument("--work", type=Path, default=ROOT / "results/photometric-redshift",
                       help="folder for the predictions")  # fmt: skip
    found.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write")
    found.add_argument("--methods", nargs="+", help="compute only these rows")
    found.add_argument(
        "--galaxies", type=int, help="use only this number of galaxies, chosen at random"
    )
    found.add_argument("--resamples", type=int, default=1000, help="number of bootstrap resamples")
    found.add_argument(
        "--quick", action="store_true", help="test the script with flows of a few epochs"
    )
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--tables", action="store_true", help="only print the tables")
    return found


def main(arguments: list[str] | None = None) -> None:
    asked = parser()
    options = asked.parse_args(arguments)
    if not options.tables:
        if not options.real or not options.real.is_dir():
            asked.error(
                f"--real {options.real}: no such folder; name that of the real data here or in "
                "MGSFLOW_REAL_DATA"
            )
        with threadpool_limits(limits=1):
            _run(options)
    print(markdown(read_json(options.out)))


def _run(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    if not sbi_is_there():
        say("sbi is not installed: the rows of NPE are left out (envs/benchmark.lock has it)")
    galaxies = read_galaxies(options.real, options.galaxies, options.seed)
    made = {"seed": options.seed, "galaxies": len(galaxies), "quick": options.quick}
    identity = options.work / "made.json"
    if identity.exists() and read_json(identity) != made:
        raise SystemExit(f"{options.work}: holds answers of {read_json(identity)}, not of {made}; "
                         "name another folder with --work, or remove it")  # fmt: skip
    write_json(identity, made)
    kept = Kept(options.work)
    run_all(galaxies, kept, options.methods, options)
    found = result(galaxies, kept, list(_complete(kept)), options)
    write_json(options.out, found)
    if options.out == RESULTS:
        from photoz_figure import draw  # import Matplotlib only to draw

        draw(found, FIGURE)


if __name__ == "__main__":
    main()
