"""Checks by real jobs: one job for each kind of node that the profile sends jobs to."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsflow.core.job import JOB_VARIABLES
from mgsflow.site.checks_services import RULES, judge_services, service_urls
from mgsflow.site.commands import ask
from mgsflow.site.deployment import in_environment, is_not_made
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.jobs import Job, batch_script, submit, wait
from mgsflow.site.judge import MAKE_CONDA, judge_record
from mgsflow.site.profile import Gpus, Request, Site
from mgsflow.site.slurm import answers

# The process ID keeps the files of two simultaneous doctors apart
FOLDER = Path("results/doctor") / str(os.getpid())
LOCAL_SECONDS = 300  # time limit of the same probe on this machine


@dataclass(frozen=True)
class Place:
    """The destination of one kind of jobs."""

    name: str  # stem of its files, unique among the places
    partition: str
    options: tuple[str, ...]
    gpus: Gpus | None
    environment: str
    asks_services: bool

    @property
    def check(self) -> str:
        return f"a job on {self.name}"

    @property
    def out(self) -> Path:
        return FOLDER / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return FOLDER / f"{self.name}.log"

    @property
    def ping(self) -> Path:
        return FOLDER / f"{self.name}.ping"


def places(site: Site, environments: Mapping[str, str]) -> list[Place]:
    """One place for each distinct combination of partition, account and GPUs in the profile."""
    groups: dict[tuple[str, ...], list[Request]] = {}
    for request in site.requests:
        groups.setdefault(tuple(request.options()), []).append(request)
    destinations: list[Place] = []
    for options, requests in groups.items():
        first = requests[0]
        partition = first.partition or "default"
        destinations.append(
            Place(
                name=_free_name(partition, {place.name for place in destinations}),
                partition=partition,
                options=options,
                gpus=first.gpus,
                environment=_environment(requests, environments),
                asks_services=any(request.rule in RULES for request in requests),
            )
        )
    return destinations


def _free_name(partition: str, taken: set[str]) -> str:
    """The partition's name, with the first number that makes it unique if it is in `taken`."""
    names = (f"{partition}-{number}" for number in itertools.count(2))
    return partition if partition not in taken else next(n for n in names if n not in taken)


def _environment(requests: list[Request], environments: Mapping[str, str]) -> str:
    names = [environments[r.rule] for r in requests if r.rule in environments]
    return max(set(names), key=names.count, default="train") if names else "train"


def check_jobs(site: Site, environments: Mapping[str, str], seconds: float) -> Iterator[Finding]:
    """Send a job to each kind of node, in the profile's deployment, and judge its record."""
    destinations = places(site, environments)
    urls = service_urls(site.settings)
    jobs = []
    variable = bool(os.environ.get("SLURM_CONF"))
    for place in destinations:
        for old in (place.out, place.ping):
            old.unlink(missing_ok=True)
        services = urls if place.asks_services else {}
        command = _command(site, place, services)
        options = [*place.options, "--cpus-per-task=1"]
        script = batch_script(command, JOB_VARIABLES, place.ping if variable else None)
        jobs.append(submit(place.name, options, script, place.log))
    wait(jobs, seconds)
    for place, job in zip(destinations, jobs, strict=True):
        yield from _judge_job(site, place, job, seconds)
        if place.ping.exists():
            yield _judge_ping(place, place.ping.read_text(errors="replace"))


def _command(site: Site, place: Place, services: Mapping[str, str]) -> list[str]:
    service_arguments = [f"{name}={url}" for name, url in services.items()]
    return in_environment(
        site, place.environment, "mgsflow.site.probe", str(place.out.absolute()), *service_arguments
    )


def _judge_job(site: Site, place: Place, job: Job, seconds: float) -> Iterator[Finding]:
    if job.refusal:
        yield failure(
            place.check,
            f"SLURM refuses it ({' '.join(place.options)}): {job.refusal}",
            "Change the profile's settings for this partition.",
        )
    elif not job.has_ended:
        yield warning(
            place.check,
            f"it still {'ran' if job.state == 'RUNNING' else 'waited'} after {seconds:g} s "
            f"({job.state or 'unknown'}: {job.reason or 'no reason given'}) and was cancelled; its "
            "node was not checked",
            "Wait longer (--wait 3600), or try again when the queue is shorter.",
        )
    elif not job.is_good:
        yield failure(
            place.check,
            f"it ended as {job.state} ({job.reason}): {_last_words(place.log)}",
            f"See its full output in {place.log}.{_bind_hint(site)}",
        )
    else:
        record = _read(place.out, float(site.options.get("latency_wait", 5)))
        if record is None:
            yield failure(
                place.check,
                f"it succeeded, but {place.out} is not visible here: {_last_words(place.log)}",
                "The folder must lie on a file system that login and compute nodes share and that "
                "the job can write to.",
            )
            return
        yield from judge_record(site, place.check, place.gpus, place.environment, record)
        services = record.get("services") or {}
        yield from judge_services(services, f"from partition {place.partition}")


def _judge_ping(place: Place, reply: str) -> Finding:
    """Whether a job step, which does not inherit SLURM_CONF, would reach SLURM from the node."""
    if answers(reply):
        return ok("SLURM_CONF", f"SLURM answers {place.check} without it")
    return failure(
        "SLURM_CONF",
        f"SLURM does not answer {place.check} without SLURM_CONF, which Snakemake's job steps do "
        f"not hand on: every job would end with `srun: fatal` ({_last_words(place.ping)})",
        "Ask the administrators for the configuration at /etc/slurm/slurm.conf on all nodes; a "
        "link is enough.",
    )


def _bind_hint(site: Site) -> str:
    """A container sees the checkout, but not the target of a link in it."""
    results = Path("results")
    if site.deployment != "apptainer" or not results.is_symlink():
        return ""
    return f" `results` is a link: containers need `--bind {results.resolve()}` in apptainer-args."


def _read(path: Path, patience: float) -> dict[str, Any] | None:
    """The probe's record, which may appear on a shared file system with a delay."""
    end = time.monotonic() + patience
    while not path.exists() and time.monotonic() < end:
        time.sleep(1)
    return json.loads(path.read_text()) if path.exists() else None


def _last_words(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return "no log"
    return "; ".join([line for line in lines if line][-3:]) or "no word"


def check_here(site: Site) -> Iterator[Finding]:
    """Run the same probe as a process on this machine, for a run that stays on it."""
    out = FOLDER / "here.json"
    out.unlink(missing_ok=True)
    command = in_environment(site, "train", "mgsflow.site.probe", str(out.absolute()))
    answer = ask(*command, seconds=LOCAL_SECONDS)
    record = _read(out, 0)
    if record is None:
        yield failure(
            "training", f"the probe did not run: {answer.words}", f"Try: {answer.command}"
        )
        return
    device = site.settings.compute.device
    expected_gpus = Gpus("", 1) if device == "cuda" else None
    yield from judge_record(site, "training", expected_gpus, "train", record)
    if device == "auto":
        yield from _judge_auto(site, record)


def _judge_auto(site: Site, record: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether training would use an available GPU, where the settings leave the choice open."""
    gpus, torch = ", ".join(record["driver"]["gpus"]), record.get("torch") or {}
    if not gpus:
        yield ok("GPU", "none here: training runs on the CPU (compute: {device: auto})")
    elif is_not_made(site, "train"):
        yield warning(
            "GPU",
            f"{gpus} is here; conda's `train` is not made yet, so its torch could not be tested",
            f"{MAKE_CONDA}, then run the doctor again.",
        )
    elif not torch.get("computes"):
        yield warning(
            "GPU",
            f"{gpus} is here, but torch {torch.get('version')} (CUDA build: "
            f"{torch.get('cuda_build')}) does not use it",
            'Install torch\'s CUDA build: docs/hpc.md, "CPU and CUDA builds of torch".',
        )
    else:
        yield ok("GPU", f"{gpus}; torch computes on it")
