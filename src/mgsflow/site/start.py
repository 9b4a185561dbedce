"""What must hold before a run's first job: each rule gets the environment that it names.

Snakemake ignores `container:` and `conda:` where no deployment method is asked for, and takes
whatever file lies where an image should be. Both would end in results of unknown software.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mgsflow.core.errors import UserError
from mgsflow.site.deployment import container_command
from mgsflow.site.images import check

ACTIVE = "MGSFLOW_ENVIRONMENT"


def check_programs(methods: Iterable[str]) -> None:
    """Of the deployment methods (`apptainer`, `conda`), hold Apptainer to be there.

    Raises UserError if it is asked for and is not on PATH.
    """
    if "apptainer" in methods and container_command() is None:
        raise UserError(
            "--sdm apptainer: there is no apptainer (or singularity) on PATH.\n"
            "Load the site's module or install it. Without containers: --sdm conda."
        )


def check_start(
    methods: Iterable[str],
    remote: bool,
    environments: Iterable[str],
    envs: Path,
    variables: Mapping[str, str],
) -> None:
    """Hold a run that is about to start to what its rules name.

    `methods`: the deployment methods that were asked for. `remote`: whether jobs are submitted to
    other machines. `environments`: those that the run's rules name. `envs`: the checkout's folder
    of that name. `variables`: the process's environment.
    Raises UserError, its last line a remedy.
    """
    methods = set(methods)
    if remote and not methods & {"apptainer", "conda"} and variables.get(ACTIVE) != "active":
        raise UserError(
            "No --software-deployment-method: each rule's `container:` and `conda:` would be "
            "silently ignored, and its job take whatever packages its node has.\n"
            "Add --sdm apptainer (or --sdm conda), in the profile software-deployment-method. "
            f"Where all nodes share one environment that is active, say so: {ACTIVE}=active"
        )
    check_programs(methods)
    if "apptainer" in methods:
        check(envs, environments)
