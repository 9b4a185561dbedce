"""Checks before a run's first job: each rule must get the environment that it names.

Snakemake ignores `container:` and `conda:` if no deployment method is set, and uses whatever file
lies in an image's place. Both would lead to results from unknown software.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mgsflow.core.errors import UserError
from mgsflow.site.containers import check
from mgsflow.site.deployment import container_command
from mgsflow.stages import RULES

ACTIVE = "MGSFLOW_ENVIRONMENT"


def check_programs(methods: Iterable[str], folder: Path) -> None:
    """Check that Apptainer is usable, if the deployment `methods` include it.

    `folder`: the checkout, or a folder in it, as an absolute path.
    Raises UserError if Apptainer is required and is not on PATH, or if the path has a space, as
    Snakemake accepts no image on such a path.
    """
    if "apptainer" not in methods:
        return
    if container_command() is None:
        raise UserError(
            "--sdm apptainer: apptainer is not on PATH (SingularityCE is not tried).\n"
            "Load the site's module (`module load apptainer`) or install it. Without containers: "
            "--sdm conda."
        )
    if any(character.isspace() for character in str(folder)):
        raise UserError(
            f"--sdm apptainer: Snakemake accepts no image whose path has a space: {folder}\n"
            "Move the checkout to a path without spaces."
        )


def check_rules(rules: Iterable[Any]) -> None:
    """Check Snakemake's rules against the registry of stages. Raises UserError naming each fault.

    Each rule belongs to a stage, runs in that stage's environment, writes a log and a benchmark,
    and leaves retries to the profile: retries on a rule would be repeated inside the job as well.
    """
    faults = []
    for rule in rules:
        if rule.norun:
            continue
        if rule.name not in RULES:
            faults.append(f"{rule.name}: no stage of mgsflow.stages has this rule's name")
            continue
        environment = RULES[rule.name].environment
        named = {Path(str(rule.conda_env)).stem, Path(str(rule.container_img)).stem}
        if named != {environment}:
            faults.append(
                f"{rule.name}: names the environments {', '.join(sorted(named))}; its stage runs "
                f"in {environment}"
            )
        if rule.ruleinfo.retries:
            faults.append(f"{rule.name}: has `retries:`, which belongs to the profile")
        if not rule.log or not rule.benchmark:
            faults.append(f"{rule.name}: has no `log:` or no `benchmark:`")
    if faults:
        raise UserError("The rules do not agree with the stages:\n" + "\n".join(faults))


def too_many_threads(compute: Mapping[str, object], cores: int) -> str:
    """The settings `compute` with more threads than `cores`, in words; empty if there are none.

    Snakemake grants a local job at most `cores`, but a stage starts as many threads as are set:
    their number decides the last bits of its result.
    """
    many = {key: n for key, n in compute.items() if key.endswith("threads") and int(n) > cores}
    if not many:
        return ""
    listed = ", ".join(f"compute.{key} is {n}" for key, n in many.items())
    return (
        f"{listed}: more threads than this run has cores ({cores}), which is slow. Set them to "
        f"{cores} or less in the run's settings, or give it more with --cores."
    )


def check_start(
    methods: Iterable[str],
    remote: bool,
    environments: Iterable[str],
    envs: Path,
    variables: Mapping[str, str],
) -> None:
    """Check that a run that is about to start gets the environments that its rules name.

    `methods`: the requested deployment methods. `remote`: whether jobs are submitted to other
    machines. `environments`: those that the run's rules name. `envs`: the checkout's folder of that
    name. `variables`: the process's environment.
    Raises UserError, whose last line is a remedy.
    """
    methods = set(methods)
    if remote and not methods & {"apptainer", "conda"} and variables.get(ACTIVE) != "active":
        raise UserError(
            "No --software-deployment-method: each rule's `container:` and `conda:` would be "
            "silently ignored, and its job would use whatever packages its node has.\n"
            "Add --sdm apptainer (or --sdm conda), or software-deployment-method in the profile. "
            f"If all nodes share one active environment, declare it by {ACTIVE}=active"
        )
    check_programs(methods, envs)
    if "apptainer" in methods:
        check(envs, environments)
