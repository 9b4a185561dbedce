"""What a probe's record means for the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mgsflow.site.deployment import is_not_made
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.profile import Gpus, Site

BUILDS = 'docs/hpc.md, "CPU and CUDA builds of torch"'
MAKE_CONDA = "`snakemake --profile ... --conda-create-envs-only`"


def judge_record(
    site: Site, check: str, gpus: Gpus | None, environment: str, record: Mapping[str, Any]
) -> Iterator[Finding]:
    """Whether a job ran in the right environment and can use the GPUs that it requested."""
    where = f"node {record['node']}, Python {record['python']}"
    if site.deployment == "apptainer":
        if record["environment"] != environment:
            yield failure(
                check,
                f"{where}: not in the image of `{environment}` but in "
                f"{record['environment'] or 'no image of ours'}",
                "`make images`; see apptainer-args and software-deployment-method in the profile.",
            )
            return
        where += f", image {environment}"
    not_made = is_not_made(site, environment)
    if not_made:
        where += f" of the login environment (conda's `{environment}` is not made yet)"
    if gpus is None:
        yield ok(check, where)
        return
    if not_made:
        record = {**record, "torch": None}  # the probe saw the torch of another environment
    faults = [*_gpu_faults(site, check, where, environment, record)]
    yield from faults or [ok(check, f"{where}, {_seen(record)}")]


def _seen(record: Mapping[str, Any]) -> str:
    driver, torch = record["driver"], record["torch"]
    names = ", ".join(driver["gpus"]) or torch.get("name", "a GPU")
    return f"{names}; torch {torch['version']} (CUDA {torch['cuda_build']}) computes on it"


def _gpu_faults(
    site: Site, check: str, where: str, environment: str, record: Mapping[str, Any]
) -> Iterator[Finding]:
    """Why a job cannot use its GPU: the first of a chain of causes."""
    torch, driver = record["torch"], record["driver"]
    if record["gpus"] is None:
        yield warning(
            check,
            f"{where}: SLURM does not set CUDA_VISIBLE_DEVICES: two jobs on one node would share a "
            "GPU",
            "Ask the site's administrators (gres.conf); or request whole nodes: "
            '`slurm_extra: "--exclusive"` in set-resources of the profile.',
        )
    if torch and torch["cuda_build"] is None:
        yield failure(
            check,
            f"{where}: torch {torch['version']} is a CPU build: training would run on the CPU",
            f"Build the environment with torch's CUDA build: {BUILDS}.",
        )
    if not record["devices"]:
        container = site.deployment == "apptainer"
        nv = "--nv" in str(site.options.get("apptainer_args") or "")
        yield failure(
            check,
            f"{where}: no /dev/nvidia* is visible"
            + (" in the container" if container else "")
            + (" despite --nv" if container and nv else ""),
            "Add --nv to apptainer-args of the profile."
            if container and not nv
            else "The node has no NVIDIA driver, or SLURM gave the job no GPU: see the partition "
            "and gres of the profile, and `srun ... nvidia-smi`.",
        )
    elif is_not_made(site, environment):
        yield warning(
            check,
            f"{where}: a GPU is there ({'; '.join(driver['gpus']) or driver['words']}); whether "
            "torch computes on it could not be checked",
            f"{MAKE_CONDA}, then run the doctor again.",
        )
    elif torch is None:
        yield failure(
            check,
            f"{where}: a GPU is there ({'; '.join(driver['gpus'])}), but no torch in this "
            "environment",
            f"`make images`, or with conda {MAKE_CONDA}.",
        )
    elif torch["cuda_build"] and not torch["available"]:
        yield failure(
            check,
            f"{where}: torch {torch['version']} finds no GPU; nvidia-smi: "
            f"{'; '.join(driver['gpus']) or driver['words']}",
            f"The driver may be too old for CUDA {torch['cuda_build']}: install a build for an "
            f"older CUDA ({BUILDS}), or ask for a newer driver.",
        )
    elif torch["available"] and not torch["computes"]:
        yield failure(
            check,
            f"{where}: torch sees {torch.get('name', 'a GPU')} but cannot compute: "
            f"{torch['words']}",
            f"This build of torch may not support the GPU's generation: {BUILDS}.",
        )
