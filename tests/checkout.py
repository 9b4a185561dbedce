"""A copy of the repository in which Snakemake runs, so that tests leave the checkout alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dry_runs import dry_run

from mgsflow.archive.source import SOURCE


@dataclass
class Checkout:
    """A copy of the repository in which Snakemake runs."""

    folder: Path
    variables: dict[str, str] | None = None  # of its environment, where they are not this process's

    @classmethod
    def copy(cls, repository: Path, folder: Path) -> Checkout:
        """Copy what a run needs, which is what its archive holds."""
        for part in SOURCE:
            source = repository / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "images", "*.egg-info")
                shutil.copytree(source, folder / part, ignore=ignore)
            else:
                shutil.copy2(source, folder / part)
        return cls(folder)

    def snakemake(
        self,
        *arguments: str | Path,
        overlay: str = "",
        configfiles: tuple[str | Path, ...] = ("config/tiny.yaml",),
    ) -> subprocess.CompletedProcess:
        """Run Snakemake with `configfiles` and `overlay` (YAML) on top of them."""
        extra = self.folder / "overlay.yaml"
        extra.write_text(overlay)
        files = [*configfiles, *([extra] if overlay else [])]
        words = ["--profile", "profiles/test", "--configfile", *files, *arguments]
        if arguments == ("--dry-run",):
            return dry_run([str(word) for word in words[:-1]], self.folder, self.environment())
        return self._python("snakemake", *words)

    def plan(self, overlay: str = "", **options: tuple[str | Path, ...]) -> dict[str, int]:
        """How many jobs of each rule Snakemake would run."""
        done = self.snakemake("--dry-run", overlay=overlay, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", done.stdout, re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows}

    def mgsflow(self, *arguments: str | Path) -> subprocess.CompletedProcess:
        return self._python("mgsflow.cli", *arguments)

    def _python(self, module: str, *arguments: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            capture_output=True,
        )

    def environment(self) -> dict[str, str]:
        """That of a shell in which the Python environment's programs come first."""
        variables = self.variables or dict(os.environ)
        here = Path(sys.executable).parent
        return {**variables, "PATH": f"{here}{os.pathsep}{variables['PATH']}", "COLUMNS": "200"}
