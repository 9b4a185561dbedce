"""How a rule's command is run: in its image, in its conda environment, or directly."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from mgsflow.site.profile import Site

IMAGES = Path("envs/images")
EVERY_RUN = ("data", "report", "train")
CONDA = Path(".snakemake/conda")


def container_command() -> str | None:
    """`apptainer` if it is on PATH; SingularityCE is not supported.

    Snakemake would also use SingularityCE's `singularity`, but that program neither builds our
    images nor reads the job's variables from APPTAINERENV_...; it was not tried.
    """
    return "apptainer" if shutil.which("apptainer") else None


def image(environment: str) -> Path:
    return IMAGES / f"{environment}.sif"


def conda_python(site: Site, environment: str) -> Path | None:
    """Python of the conda environment that Snakemake made, or None if it has not made it yet.

    Snakemake keeps a copy of the environment's file beside the environment; that copy's text
    identifies it. Both lie in the profile's conda-prefix, if it names one.
    """
    prefix = site.options.get("conda_prefix")
    folder = Path(os.path.expandvars(prefix)).expanduser() if prefix else CONDA
    definition = Path(f"envs/{environment}.yaml").read_bytes()
    for copy in sorted(folder.glob("*.yaml")):
        python = copy.with_suffix("") / "bin/python"
        if copy.read_bytes() == definition and python.exists():
            return python
    return None


def is_not_made(site: Site, environment: str) -> bool:
    """Whether Snakemake has yet to make `environment`, so that a probe of it runs in another."""
    return site.deployment == "conda" and conda_python(site, environment) is None


def in_environment(site: Site, environment: str, module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules as Snakemake would run a rule of `environment`."""
    source = f"PYTHONPATH={Path.cwd() / 'src'}"
    command = ["env", source, "PYTHONNOUSERSITE=1"]
    if site.deployment == "apptainer":
        inner = [*command, "python", "-m", module, *arguments]
        return [
            container_command() or "apptainer",
            *("exec", "--home", str(Path.cwd())),
            *shlex.split(str(site.options.get("apptainer_args") or "")),
            str(image(environment)),
            *inner,
        ]
    own = conda_python(site, environment) if site.deployment == "conda" else None
    # without the conda environment, if it is not made yet: the GPU can be looked for all the same
    return [*command, str(own or sys.executable), "-m", module, *arguments]


def used_environments(environments: Mapping[str, str]) -> list[str]:
    """The environments that the run's rules need; without a plan those that every run needs."""
    return sorted(set(environments.values()) or EVERY_RUN)
