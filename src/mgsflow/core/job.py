"""Where a stage runs: node, partition, GPU, container and versions, the first line of its log.

A clean environment (`apptainer --cleanenv`) drops the variables that SLURM sets for a job, among
them the GPUs that it may use. Apptainer sets a variable named APPTAINERENV_NAME in a container as
NAME: see `hand_into_containers`.
"""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from mgsflow.core.machine import installed_versions

MARKER = Path("/opt/mgsflow/environment")  # in each image: the name of its environment
# SLURM's variables of a job, and the GPUs assigned to it: without CUDA_VISIBLE_DEVICES a job in a
# container would use the GPUs of other jobs on its node.
JOB_VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
PACKAGES = (
    "numpy",
    "astropy",
    "pandas",
    "h5py",
    "scipy",
    "torch",
    "nflows",
    "scikit-learn",
    "galsim",
    "kcorrect",
    "bagpipes",
    "matplotlib",
    "rocrate",
)


def hand_into_containers(environment: MutableMapping[str, str]) -> None:
    """Make Apptainer set SLURM's variables of this job inside containers."""
    for name in JOB_VARIABLES:
        if name in environment:
            environment[f"APPTAINERENV_{name}"] = environment[name]


def environment_name() -> str | None:
    """The environment's name, as stored in its image; None outside the images."""
    return MARKER.read_text().strip() if MARKER.exists() else None


def job_record(environment: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Where this process runs; None for anything that does not apply.

    `node` and `partition` are SLURM's, `gpus` the GPUs in CUDA_VISIBLE_DEVICES, `container` the
    image's path, `environment` the name stored in the image, `packages` the installed versions.
    """
    return {
        "node": environment.get("SLURMD_NODENAME") or socket.gethostname(),
        "partition": environment.get("SLURM_JOB_PARTITION"),
        "job": environment.get("SLURM_JOB_ID"),
        "gpus": environment.get("CUDA_VISIBLE_DEVICES"),
        "container": environment.get("APPTAINER_CONTAINER"),
        "environment": environment_name(),
        "python": platform.python_version(),
        "packages": installed_versions(PACKAGES),
    }


def job_line(stage: str, version: str) -> str:
    """The record as the first line of a stage's log: the stage, and JSON."""
    return f"mgsflow {stage} {version} {json.dumps(job_record())}"
