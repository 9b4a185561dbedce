"""Where a stage runs: node, partition, GPU, container and versions, the first line of its log.

A clean environment (`apptainer --cleanenv`) drops what SLURM tells a job, the GPUs that it may use
among it. Snakemake hands into a container what is called APPTAINERENV_NAME: `hand_into_containers`.
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
# What SLURM says of a job, and the GPUs that it has given it: without CUDA_VISIBLE_DEVICES a job
# in a container would take those of its neighbours.
HANDED = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
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
    """Have Apptainer set inside a container what SLURM has told this job."""
    for name in HANDED:
        if name in environment:
            environment[f"APPTAINERENV_{name}"] = environment[name]


def environment_name() -> str | None:
    """The name that the image bears inside, None outside of the images."""
    return MARKER.read_text().strip() if MARKER.exists() else None


def job_record(environment: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Where this process runs: None for what there is not.

    `node` and `partition` are SLURM's, `gpus` what CUDA_VISIBLE_DEVICES allows, `container` the
    image's path, `environment` the name that the image bears inside, `packages` the versions
    installed.
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
