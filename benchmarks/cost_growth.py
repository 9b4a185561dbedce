"""Measure how CPU time and memory of every stage grow with the number of galaxies.

    python benchmarks/cost_growth.py --set photometry --galaxies 1000 10000 100000
    python benchmarks/cost_growth.py --set images --galaxies 1000 5000 20000

Runs the whole DAG by Snakemake on simulated skies with these numbers of galaxies, one job of one
thread at a time, and takes each command's CPU time and peak memory from the system (metered.py).
Trainings end after a fixed number of epochs, so that the work grows with the galaxies alone. Stages
whose settings fix the number of galaxies (oracle, SED fitting) are left out. Results are added to
those of the same machine, commit and settings in --out; a size that is measured again replaces its
former result.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import yaml
from sampling import machine
from startup import meter, starts

from mgsflow.archive.source import SOURCE
from mgsflow.core.files import read_json, write_json
from mgsflow.core.machine import processor

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "cost_growth.json"
RUN = "growth"
# What all runs of one table have in common, and its name in messages
_ALIKE = {
    "machine": "machine",
    "commit": "commit",
    "settings": "set of settings",
    "until": "list of last rules",
}
STARTS = 3  # measurements of a stage's start, of which the shortest counts
_SHARD = 1000  # galaxies of a job that cuts stamps

# Few epochs, of a fixed number (patience is as long); all else as in the paper or in the demo.
COMMON: dict[str, Any] = {
    "run": RUN,
    "sky": "simulated",
    "simulated": {"galaxies_per_field": 100},
    "selection": {"sample_size": None},
    "splits": {"block": 0.2},
    "flows": {"members": 2, "folds": 2, "epochs": 3, "patience": 3},
    "posteriors": {"draws": 200},
    "baselines": {
        "mlp_epochs": 15,
        "boosting_iterations": 15,
        "conditional_vae": {"binning": 2, "epochs": 2},
    },
    "oracle": {"galaxies": 0},
    # fixed numbers of galaxies, available in the smallest run as well
    "evaluation": {"anomalies": 50, "speed_galaxies": 64, "speed_draws": 200},
    "compute": {"vae_threads": 1, "flow_threads": 1, "stamp_threads": 1, "threads": 1},
}
SETS: dict[str, dict[str, Any]] = {
    "photometry": {
        "simulated": {"stamps": False},
        "stamps": {"provider": "none"},
        "splits": {"vae": 0.0},
        "flows": {"variants": ["photometry-observed"]},
    },
    "images": {
        "vae": {"epochs": 2, "patience": 2},
        "flows": {"variants": ["images_photometry-observed"]},
    },
}
# Few galaxies and small networks, to test that the benchmark runs.
TINY: dict[str, Any] = {
    "stamps": {"size": 64},
    "vae": {"latent": 8, "channels": [4, 8, 16]},
    "flows": {"encoding": 32, "encoder_hidden": [32], "couplings": 2, "coupling_hidden": 16},
    "posteriors": {"draws": 40},
    "evaluation": {"bootstrap": 20, "anomalies": 12, "speed_galaxies": 8, "speed_draws": 20},
}


def joined(base: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """`base` overridden by the settings of `others`, section by section."""
    result = dict(base)
    for key, value in (pair for other in others for pair in other.items()):
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = joined(result[key], value) if both else value
    return result


def settings_of(name: str, tiny: bool) -> dict[str, Any]:
    """The settings that all runs of the set `name` have in common."""
    return joined(COMMON, SETS[name], TINY if tiny else {})


def overlay(name: str, galaxies: int, tiny: bool) -> dict[str, Any]:
    """The settings of a run of the set `name`: shards of one size, whatever their number."""
    settings = settings_of(name, tiny)
    if name == "images":
        settings = joined(settings, {"stamps": {"shards": max(1, galaxies // _SHARD)}})
    return joined(settings, {"simulated": {"galaxies": galaxies}})


def measure(
    name: str, galaxies: int, tiny: bool, scratch: Path | None, until: list[str]
) -> dict[str, Any]:
    """The cost of every stage in one run, made in a folder of its own that is then removed."""
    with tempfile.TemporaryDirectory(prefix="growth-", dir=scratch) as made:
        folder = Path(made)
        record, settings = folder / "record.jsonl", folder / "overlay.yaml"
        _copy_source(folder)
        commit = commit_of(REPOSITORY)
        settings.write_text(yaml.safe_dump(overlay(name, galaxies, tiny)))
        _put_before_the_command(folder / "bin", folder / "src", record)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        log = folder / "snakemake.log"
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "1"]
        command += ["--configfile", str(settings), *(["--until", *until] if until else [])]
        with log.open("w") as written:
            done = subprocess.run(
                command, cwd=folder, env=os.environ | {"PATH": path}, stdout=written, stderr=written
            )
        if done.returncode:
            raise SystemExit(f"the run of {galaxies} galaxies failed:\n{log.read_text()[-5000:]}")
        lines = record.read_text(encoding="utf-8").splitlines()
        return {
            "galaxies": galaxies,
            "machine": machine_here(),
            "commit": commit,
            "settings": settings_of(name, tiny),
            "until": until,
            "kept": _rows(folder / "results" / RUN / "flows" / "features.parquet"),
            "stages": by_stage([json.loads(line) for line in lines]),
        }


def machine_here() -> dict[str, Any]:
    """The machine, on which the times of a run depend."""
    return machine(torch.device("cpu")) | {"threads": 1, "processor": processor()}


def commit_of(repository: Path) -> str | None:
    """The commit of the working tree, with `-dirty` if it has changes; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        told = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return told.stdout.strip() or None


def _copy_source(folder: Path) -> None:
    """Copy the repository as it is now, so that edits during a long run do not change its jobs."""
    ignore = shutil.ignore_patterns("__pycache__", "images", "*.egg-info")
    for part in SOURCE:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy2(source, folder / part)


def _put_before_the_command(folder: Path, source: Path, record: Path) -> None:
    """Write a command `mgsflow` to `folder` that measures the one of `source`."""
    folder.mkdir()
    command = [*meter(record), sys.executable, "-m", "mgsflow.cli"]
    launcher = folder / "mgsflow"
    launcher.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(source))} exec {shlex.join(command)} "$@"\n'
    )
    launcher.chmod(0o755)


def by_stage(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For all jobs of each stage: the sum of CPU and wall seconds, the largest memory."""
    jobs = defaultdict(list)
    for record in records:
        words = record["command"]
        jobs[words[words.index("mgsflow.cli") + 1]].append(record)
    return {stage: _together(found) for stage, found in jobs.items()}


def _together(records: list[dict[str, Any]]) -> dict[str, Any]:
    own = [record["own_bytes"] for record in records if record["own_bytes"]]
    return {
        "jobs": len(records),
        "cpu_seconds": sum(record["cpu_seconds"] for record in records),
        "wall_seconds": sum(record["wall_seconds"] for record in records),
        "peak_bytes": max(record["peak_bytes"] for record in records),
        "own_bytes": max(own, default=None),
    }


def with_run(former: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """`former` with `run` replacing the run with the same number of galaxies, sorted by number.

    Runs of another machine, commit, settings or last rule are left out, because a line through
    their times has no meaning; stderr says so. Start-up times measured with them are left out too.
    """
    others = [each for each in former.get("runs", []) if each["galaxies"] != run["galaxies"]]
    strange = {each["galaxies"]: _differences(each, run) for each in others}
    alike = [each for each in others if not strange[each["galaxies"]]]
    for galaxies, words in strange.items():
        if words:
            print(f"the run of {galaxies} galaxies is left out: {words}", file=sys.stderr)
    return {
        "runs": sorted([*alike, run], key=lambda each: each["galaxies"]),
        "starts": former.get("starts", {}) if len(alike) == len(others) else {},
    }


def _differences(former: dict[str, Any], run: dict[str, Any]) -> str:
    """Why two runs cannot share a table, as text; empty if they can."""
    return " and ".join(
        f"it is of another {words}, {former.get(key)}, not {run[key]}"
        for key, words in _ALIKE.items()
        if former.get(key) != run[key]
    )


def _rows(path: Path) -> int | None:
    """Number of galaxies with features; None if the run ended before that."""
    return pq.read_metadata(path).num_rows if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=list(SETS), required=True)
    parser.add_argument("--galaxies", type=int, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file to write or to add to")
    parser.add_argument(
        "--scratch", type=Path, help="folder for the runs (10 GB with 20,000 stamps)"
    )
    parser.add_argument("--until", nargs="*", default=[], help="last rules to run (default: all)")
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with small networks and few draws"
    )
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    for galaxies in args.galaxies:
        run = measure(args.set, galaxies, args.tiny, args.scratch, args.until)
        result = read_json(args.out) if args.out.exists() else {}
        result[args.set] = with_run(result.get(args.set, {}), run)
        write_json(args.out, result)
        total = sum(stage["cpu_seconds"] for stage in run["stages"].values())
        print(f"{args.set}, {galaxies} galaxies: {total:.0f} CPU seconds", flush=True)
    result[args.set]["starts"] = starts(sorted(run["stages"]), 1 if args.tiny else STARTS)
    write_json(args.out, result)


if __name__ == "__main__":
    main()
