"""A user's checkout on the test cluster, and what its jobs say of themselves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from checkout import Checkout

from mgsflow.core.contract import Stage
from mgsflow.report.contents import Item
from mgsflow.run import job_name

# What differs from profiles/slurm on a cluster whose jobs end in seconds.
QUICK = {"slurm-init-seconds-before-status-checks": 1, "latency-wait": 10}
PROMPT_SNAKEMAKE = Path(__file__).parent / "prompt_snakemake.py"
LIMIT = 1500  # seconds that any run may take


@dataclass
class Site(Checkout):
    """A checkout with a site's profile, images and environment variables."""

    said: str = ""

    def write_profile(
        self, name: str = "site", drop: tuple[str, ...] = (), **changes: object
    ) -> str:
        """A copy of profiles/slurm with keys changed or dropped; returns its path."""
        profile = yaml.safe_load((self.folder / "profiles/slurm/config.yaml").read_text())
        resources = changes.pop("set_resources", {})
        profile |= QUICK | {key.replace("_", "-"): value for key, value in changes.items()}
        for rule, values in resources.items():
            profile["set-resources"].setdefault(rule, {}).update(values)
        for key in drop:
            del profile[key]
        folder = self.folder / "profiles" / name
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(profile))
        return f"profiles/{name}"

    def start(
        self, *arguments: str, profile: str, overlay: str = "", log: str = "snakemake.log"
    ) -> subprocess.Popen:
        """Start Snakemake through a profile; what it says goes to the file `log`."""
        extra = self.folder / f"{log}.yaml"
        extra.write_text(overlay or "{}\n")
        with (self.folder / log).open("w") as out:
            return subprocess.Popen(
                [
                    *(sys.executable, PROMPT_SNAKEMAKE, "--profile", profile),
                    *("--configfile", "config/tiny.yaml", str(extra), *arguments),
                ],
                cwd=self.folder,
                env=self.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(
        self, *arguments: str, profile: str, overlay: str = "", log: str = "snakemake.log"
    ) -> tuple[int, str]:
        """Run Snakemake to its end: the exit status, and all it said."""
        process = self.start(*arguments, profile=profile, overlay=overlay, log=log)
        return finish(process), (self.folder / log).read_text()


def finish(process: subprocess.Popen, seconds: float = LIMIT) -> int:
    """Wait for a run; one that hangs is interrupted as by a user, then killed."""
    for patience, sign in ((seconds, signal.SIGINT), (30, signal.SIGKILL)):
        try:
            return process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, sign)
    return process.wait()


def logs_of(part: Stage | Item, run: Path) -> list[Path]:
    """The logs that the jobs of a rule have written in the results of a run."""
    return sorted((run / "logs").glob(re.sub(r"\{\w+\}", "*", job_name(part)) + ".log"))


def copy(repository: Path, folder: Path, variables: dict[str, str]) -> Site:
    """A checkout of the repository in `folder`, with the images of the repository's own."""
    site = Site.copy(repository, folder)
    site.variables = variables
    shutil.rmtree(folder / "envs/images", ignore_errors=True)
    (folder / "envs/images").symlink_to(repository / "envs/images")
    shutil.copy2(repository / "envs/images.lock", folder / "envs/images.lock")
    return site
