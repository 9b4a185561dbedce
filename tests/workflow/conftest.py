"""One tiny run of the whole DAG, in a copy of the checkout, shared by all tests of the workflow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mgsflow.archive.source import SOURCE


@dataclass
class Checkout:
    """A copy of the repository in which Snakemake runs."""

    folder: Path

    def snakemake(self, *arguments: str | Path, overlay: str = "") -> subprocess.CompletedProcess:
        """Run Snakemake with the tiny configuration and `overlay` (YAML) on top of it."""
        extra = self.folder / "overlay.yaml"
        extra.write_text(overlay)
        files = ["config/tiny.yaml", *([extra] if overlay else [])]
        command = [
            *(sys.executable, "-m", "snakemake", "--profile", "profiles/test"),
            *("--configfile", *files),
            *arguments,
        ]
        return subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=_environment(),
            text=True,
            capture_output=True,
        )

    def plan(self, overlay: str = "") -> dict[str, int]:
        """How many jobs of each rule Snakemake would run."""
        done = self.snakemake("--dry-run", overlay=overlay)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", done.stdout, re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows}

    def mgsflow(self, *arguments: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mgsflow.cli", *map(str, arguments)],
            cwd=self.folder,
            env=_environment(),
            text=True,
            capture_output=True,
        )


def _environment() -> dict[str, str]:
    """The environment of a shell in which the environment's programs come first."""
    here = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("checkout")
    for part in SOURCE:  # what a run needs is what its archive holds
        source = repository / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "images", "*.egg-info")
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy2(source, folder / part)
    yield Checkout(folder)


@pytest.fixture(scope="session")
def tiny(checkout: Checkout) -> Checkout:
    """The checkout after one whole tiny run."""
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-10000:]
    return checkout
