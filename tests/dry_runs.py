"""Dry runs of Snakemake, each in a process of its own that need not import Snakemake first.

Importing takes half the time of a dry run. A server imports Snakemake once and forks for each run.
The package is imported by the run itself: it is that of the checkout that is tried.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
# What a dry run imports, the package excepted.
IMPORTED = (
    "snakemake.cli",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "snakemake.storage",
    "pydantic",
)

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(list(IMPORTED))


def dry_run(
    arguments: list[str], folder: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess:
    """Run `snakemake --dry-run` with `arguments` in `folder`, with these environment variables."""
    arguments = ["snakemake", *arguments, "--dry-run"]
    with tempfile.TemporaryDirectory() as place:
        out, error = Path(place, "out"), Path(place, "error")
        process = _SERVER.Process(target=_run, args=(arguments, folder, variables, out, error))
        process.start()
        process.join()
        return subprocess.CompletedProcess(
            arguments, process.exitcode, out.read_text(), error.read_text()
        )


def _run(
    arguments: list[str], folder: Path, variables: dict[str, str], out: Path, error: Path
) -> None:
    """In the forked process: what `python -m snakemake` does in a shell."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for path, stream in ((out, sys.stdout), (error, sys.stderr)):
        stream.flush()
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    loaded = [name for name in sys.modules if name.partition(".")[0] == "mgsflow"]
    assert not loaded, f"the checkout's own package would not be imported: {loaded}"
    sys.argv = arguments
    elsewhere = [path for path in sys.path if not Path(path).is_relative_to(TESTS)]
    sys.path[:] = [str(folder), *elsewhere]
    from snakemake.cli import main

    main()
