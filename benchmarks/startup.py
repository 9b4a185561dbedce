"""Measure start-up times: `mgsflow --help`, a stage's `--help`, a stage's imports.

    python benchmarks/startup.py --out benchmarks/results/startup.json

CPU time and wall time of ten starts each, after one start that is not counted. Cold starts have no
compiled bytecode, and the files of Python, of the environment and of the package are dropped from
the page cache as far as no other process holds them. Of a stage's imports, the best of three.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from mgsflow.core.files import write_json
from mgsflow.core.machine import processor
from mgsflow.stages import STAGES

SOURCE = Path(__file__).resolve().parents[1] / "src"
COMMANDS = {
    "mgsflow --help": ["--help"],
    "mgsflow train-flow --help": ["train-flow", "--help"],
}
# One stage of each kind: catalogues, images, torch, numba, tables, figures
KINDS = ("select", "stamps", "train-flow", "umap", "table1", "figure2")
REPEATS = 10


def timed(command: list[str], repeats: int, env: dict[str, str] | None = None) -> list[dict]:
    """Records (metered.py) of `repeats` runs of `command`.

    The meter is a process of its own, because the system counts the memory of a child from before
    it became another program, and the meter is small.
    """
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.jsonl"
        for _ in range(repeats):
            subprocess.run(
                [*meter(record), *command], check=True, env=env, stdout=subprocess.DEVNULL
            )
        return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]


def meter(record: Path) -> list[str]:
    """The command before a command that measures it."""
    return [sys.executable, str(Path(__file__).with_name("metered.py")), str(record)]


def starts(stages: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Start-up of each stage's process (interpreter and imports): the shortest of all starts."""
    found = {}
    for stage in stages:
        command = [sys.executable, "-c", f"import mgsflow.cli, {STAGES[stage].module}"]
        least = min(timed(command, repeats), key=lambda run: run["cpu_seconds"])
        found[stage] = {key: least[key] for key in ("cpu_seconds", "peak_bytes", "own_bytes")}
    return found


def helps(arguments: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Best and median CPU and wall seconds of the command, warm and cold."""
    command = [sys.executable, "-m", "mgsflow.cli", *arguments]
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    timed(command, 1, env)
    found = {"warm": _summary(timed(command, repeats, env))}
    cold = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as empty:
            _advise_out_of_the_cache()
            cold += timed(command, 1, env | {"PYTHONPYCACHEPREFIX": empty})
    return found | {"cold": _summary(cold)}


def _summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        f"{kind}_{name}": choose(run[f"{kind}_seconds"] for run in runs)
        for kind in ("cpu", "wall")
        for name, choose in (("best", min), ("median", statistics.median))
    }


def _advise_out_of_the_cache() -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    folders = (SOURCE, Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")))
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    for path in (*files, Path(sys.executable).resolve()):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with one start each, of one stage"
    )
    args = parser.parse_args()
    repeats = 1 if args.tiny else REPEATS
    result = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": processor(),
            "python": platform.python_version(),
        },
        "repeats": repeats,
        "commands": {name: helps(words, repeats) for name, words in COMMANDS.items()},
        "stages": starts(list(KINDS[:1] if args.tiny else KINDS), min(repeats, 3)),
    }
    write_json(args.out, result)
    for name, found in result["commands"].items():
        print(
            f"{name}: {found['warm']['cpu_best']:.3f} CPU s, cold {found['cold']['cpu_best']:.3f}"
        )


if __name__ == "__main__":
    main()
