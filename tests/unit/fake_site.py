"""A site made of small programs that answer as SLURM and Apptainer do, and of requests by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgsflow.config import validate
from mgsflow.site.profile import Request, Site

REPOSITORY = Path(__file__).resolve().parents[2]

# What a profile without faults says, as Snakemake hands it on
GOOD_OPTIONS = {
    "executor": "slurm",
    "cores": None,
    "jobs": 200,
    "resources": {"downloads": 16},
    "latency_wait": 60,
    "retries": 2,
    "rerun_triggers": ["input", "mtime", "params"],
    "rerun_incomplete": True,
    "software_deployment_method": ["apptainer"],
    "apptainer_args": "--nv --cleanenv",
    "slurm_status_command": "squeue",
}
# `sinfo --all --Node --noheader -o "%R|%N|%a|%l|%T|%c|%m|%G"` of SLURM 22.05.8, but for the sizes
SINFO = """\
a100|a100n1|up|1-00:00:00|idle|32|128000|gpu:a100:4
cpu|cpu1|up|infinite|mixed|64|256000|(null)
cpu|cpu2|up|infinite|down*|64|256000|(null)
t4|t4n1|up|12:00:00|allocated|16|64000|gpu:t4:1(S:0-1)
shut|t4n1|down|infinite|idle|16|64000|gpu:t4:1
"""
# What a probe sees in the image on a node with a GPU
PROBED = {
    "node": "a100n1",
    "python": "3.11.2",
    "gpus": "0",
    "environment": "train",
    "devices": ["/dev/nvidia0"],
    "driver": {"gpus": ["NVIDIA A100-SXM4-40GB, 40960 MiB, 580.1"], "words": ""},
    "torch": {
        "version": "2.13.0+cu130",
        "cuda_build": "13.0",
        "available": True,
        "computes": True,
        "words": "",
        "name": "NVIDIA A100-SXM4-40GB",
    },
}
VERSION = 'echo "slurm-wlm 22.05.8"'
PING = 'echo "Slurmctld(primary) at vm is UP"'


def request(rule: str = "select", **changes: Any) -> Request:
    """A request; what Request does not name is one of its resources."""
    own = {"jobs": 1, "cpus": 4, "memory": 8000, "minutes": 30}
    sizes = {name: changes.pop(name, value) for name, value in own.items()}
    return Request(rule=rule, **sizes, resources={"slurm_partition": "cpu"} | changes)


def training(**changes: Any) -> Request:
    """The VAE's, as profiles/slurm has it."""
    asks = {"cpus": 8, "memory": 32_000, "minutes": 600, "slurm_partition": "a100"}
    return request("train_vae", **(asks | {"gres": "gpu:a100:1"} | changes))


def site(*requests: Request, config: dict | None = None, **options: Any) -> Site:
    return Site(
        profile="profiles/slurm",
        file="profiles/slurm/config.yaml",
        options=GOOD_OPTIONS | options,
        settings=validate(config or {}),
        requests=requests or (request(), training()),
    )


class Programs:
    """A folder of programs, which alone are on PATH beside the system's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def say(self, name: str, text: str, code: int = 0) -> None:
        """A program that says `text`, on stderr where it fails."""
        (self.folder / f"{name}.txt").write_text(text)
        self.put(name, f"cat {self.folder / name}.txt{' >&2' if code else ''}; exit {int(code)}")

    def put_slurm(self, sinfo: str = SINFO) -> None:
        """A SLURM in which all is well."""
        for name in ("squeue", "scancel", "srun"):
            self.put(name, VERSION)
        self.put("sbatch", VERSION)
        self.put("scontrol", f'if [ "$1" = ping ]; then {PING}; else {VERSION}; fi')
        (self.folder / "nodes").write_text(sinfo)
        self.put(
            "sinfo",
            f'if [ "$1" = --version ]; then {VERSION}; else cat {self.folder / "nodes"}; fi',
        )
