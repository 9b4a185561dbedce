"""A site as Snakemake sees it: the profile's options, and each rule's requests to the cluster."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgsflow.config import Settings
from mgsflow.config.read import read_settings
from mgsflow.core.errors import UserError
from mgsflow.site.commands import ask

PLANNING_SECONDS = 600  # time limit; planning the paper's run takes ten to twenty seconds
NOT_JOBS = ("all",)  # rules that only gather files


@dataclass(frozen=True)
class Gpus:
    """GPUs that a job requests; any model if `model` is empty."""

    model: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} GPU{'s' if self.count > 1 else ''} {self.model}".rstrip()


@dataclass(frozen=True)
class Request:
    """The largest request among the jobs of one rule, at their first attempt."""

    rule: str
    jobs: int
    cpus: int
    memory: int | None  # MB
    minutes: int | None  # the time limit
    resources: Mapping[str, Any] = field(default_factory=dict)  # the rest, as the profile has it

    @property
    def partition(self) -> str:
        return str(self.resources.get("slurm_partition") or "")

    @property
    def gpus(self) -> Gpus | None:
        """GPUs from `gres: gpu:MODEL:N`, or from `gpu` and `gpu_model`: the executor knows both."""
        kind, *rest = str(self.resources.get("gres") or "").split(":")
        if kind == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            return Gpus(rest[0] if rest else "", count)
        model = str(self.resources.get("gpu_model") or "")
        count = int(self.resources.get("gpu") or (1 if model else 0))
        return Gpus(model, count) if count else None

    def options(self) -> list[str]:
        """The options by which the executor tells sbatch where the job may run."""
        values = {
            "--account": self.resources.get("slurm_account"),
            "--partition": self.partition,
            "--clusters": self.resources.get("clusters") or self.resources.get("slurm_cluster"),
            "--constraint": self.resources.get("constraint"),
            "--qos": self.resources.get("qos"),
            "--gres": self.resources.get("gres"),
        }
        options = [f"{option}={value}" for option, value in values.items() if value]
        if self.gpus and not self.resources.get("gres"):
            model = f"{self.gpus.model}:" if self.gpus.model else ""
            options.append(f"--gpus={model}{self.gpus.count}")
        return [*options, *shlex.split(str(self.resources.get("slurm_extra") or ""))]


@dataclass(frozen=True)
class Site:
    """A profile and a run's settings."""

    profile: str
    file: str | None
    options: Mapping[str, Any]
    settings: Settings
    requests: tuple[Request, ...]  # one per rule, in the order of the plan
    trouble: str = ""  # why Snakemake could not plan the run
    last: tuple[Request, ...] = ()  # at each rule's last attempt, if the profile has retries

    @property
    def on_slurm(self) -> bool:
        return self.options.get("executor") == "slurm"

    @property
    def deployment(self) -> str:
        """`apptainer`, `conda`, or empty if each rule runs in the active environment."""
        methods = self.options.get("software_deployment_method") or []
        return next((name for name in ("apptainer", "conda") if name in methods), "")

    @property
    def partitions(self) -> dict[str, list[Request]]:
        by_partition: dict[str, list[Request]] = {}
        for request in self.requests:
            by_partition.setdefault(request.partition, []).append(request)
        return by_partition


def read_site(profile: Path, overlays: list[Path], attempts: bool = True) -> Site:
    """Read the profile and the run's settings, the profile by Snakemake itself.

    With `attempts` the run is planned twice, for the first and the last attempt of its jobs: each
    attempt requests more than the one before.

    Raises UserError if the profile or the settings cannot be read: there is nothing to check.
    """
    if not Path("Snakefile").exists():
        raise UserError("no Snakefile here: run the doctor in the folder that the run starts in")
    for path in overlays:
        if not path.exists():
            raise UserError(f"{path}: no such file, named by --configfile")
    settings = read_settings(Path("config.yaml"), overlays)
    answer, words = _ask_snakemake(profile, overlays)
    if not answer.get("options"):
        raise UserError(
            f"{profile}: Snakemake cannot read this profile: {words}\n"
            "A profile is a folder with a config.yaml in it, like profiles/slurm."
        )
    planned = answer.get("planned", False)
    retries = int(answer["options"].get("retries") or 0) if planned and attempts else 0
    last = _ask_snakemake(profile, overlays, 1 + retries)[0]["jobs"] if retries else []
    return Site(
        profile=str(profile),
        file=answer["file"],
        options=answer["options"],
        settings=settings,
        requests=largest(answer["jobs"]) if planned else (),
        trouble="" if planned else words,
        last=largest(last),
    )


def _ask_snakemake(
    profile: Path, overlays: list[Path], attempt: int = 1
) -> tuple[dict[str, Any], str]:
    """The answer of mgsflow.site.dryrun, and its messages."""
    configfiles = ["--configfile", *map(str, overlays)] if overlays else []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        done = ask(
            sys.executable,
            "-m",
            "mgsflow.site.dryrun",
            str(out),
            *("--profile", str(profile), "--attempt", str(attempt), *configfiles),
            seconds=PLANNING_SECONDS,
            environment={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        if "No module named 'snakemake" in done.err:
            raise UserError(
                "Snakemake is not in this environment. Run the doctor where you run Snakemake: in "
                "the environment of envs/workflow.lock, or the one that `make env` makes."
            )
        if not out.exists():
            return {}, done.words
        answer = json.loads(out.read_text())
    # the parser describes faults of a profile on stderr
    messages = answer["errors"] if answer["options"] else [*answer["errors"], done.words]
    return answer, "; ".join(messages) or done.words


def largest(jobs: Iterable[Mapping[str, Any]]) -> tuple[Request, ...]:
    """One request per rule: the most that any of its jobs requests."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        if job["rule"] not in NOT_JOBS:
            by_rule.setdefault(job["rule"], []).append(job)
    return tuple(
        Request(
            rule=rule,
            jobs=len(group),
            cpus=max(_cpus(job) for job in group),
            memory=_most(group, "mem_mb"),
            minutes=_most(group, "runtime"),
            resources=group[0]["resources"],
        )
        for rule, group in by_rule.items()
    )


def _cpus(job: Mapping[str, Any]) -> int:
    return int(job["resources"].get("cpus_per_task") or job["threads"])


def _most(jobs: list[Mapping[str, Any]], name: str) -> int | None:
    """The largest known value. Snakemake knows some only when the job's inputs exist."""
    numbers = [job["resources"].get(name) for job in jobs]
    known = [number for number in numbers if isinstance(number, int)]
    return max(known, default=None)
