"""Whether the profile has the settings that a run on a cluster needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mgsflow.core.job import JOB_VARIABLES
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.profile import Request, Site

TRIGGERS = {"mtime", "params", "input"}
TRAININGS = ("train_vae", "train_conditional_vae", "train_flow")


def check_plan(site: Site) -> Iterator[Finding]:
    """That Snakemake can plan the run with this profile at all."""
    if site.trouble:
        yield failure(
            "plan",
            f"Snakemake cannot plan the run: {site.trouble}",
            "`snakemake --profile ... -n` with the same --configfile says more; the checks of its "
            "jobs' requests were skipped.",
        )
        return
    jobs = sum(request.jobs for request in site.requests)
    overlay = f"run {site.settings.run}, sky {site.settings.sky}"
    yield ok("plan", f"{jobs} jobs of {len(site.requests)} rules ({overlay}), by {site.file}")


def check_profile(site: Site) -> Iterator[Finding]:
    """Check each setting without which a run was seen to fail."""
    findings = [*_triggers(site)]
    if site.on_slurm:
        findings += [*_cluster(site), *_container(site), *_trainings(site)]
    yield from findings
    if not findings:
        yield ok("profile", f"{site.file}: every setting checked is as it should be")


def _triggers(site: Site) -> Iterator[Finding]:
    triggers = set(site.options.get("rerun_triggers") or [])
    if triggers != TRIGGERS:
        yield warning(
            "profile",
            f"rerun-triggers are {', '.join(sorted(triggers)) or 'the default'}: with `code` and "
            "`software-env` training is repeated although nothing has changed, and without "
            "`params` changed code goes unnoticed",
            "rerun-triggers: [mtime, params, input]",
        )


def _cluster(site: Site) -> Iterator[Finding]:
    options = site.options
    if options.get("slurm_status_command") != "squeue":
        yield failure(
            "profile",
            f"slurm-status-command is {options.get('slurm_status_command') or 'sacct'}: sacct "
            "reports `CANCELLED by UID`, which the plugin does not recognise as an end, so that "
            "Snakemake waits for ever; and it needs slurmdbd",
            "slurm-status-command: squeue",
        )
    if not options.get("retries"):
        yield warning(
            "profile",
            "no retries: one job that fails because of its node or its memory ends the run",
            "retries: 2 (each attempt requests more memory and time)",
        )
    if (options.get("latency_wait") or 0) < 30:
        yield warning(
            "profile",
            f"latency-wait is {options.get('latency_wait')} s: on a shared file system a job's "
            "files may appear later, and the job then counts as failed",
            "latency-wait: 60",
        )
    most = max((request.memory or 0 for request in (*site.requests, *site.last)), default=0)
    limit = (options.get("resources") or {}).get("mem_mb")
    if limit and limit < most:
        yield failure(
            "profile",
            f"resources: mem_mb={limit} limits every job's memory to that, and some need {most:,} "
            "MB: they would be killed",
            "Remove mem_mb from `resources`.",
        )
    if not options.get("rerun_incomplete"):
        yield warning(
            "profile",
            "rerun-incomplete is not set: after an interruption Snakemake stops and asks",
            "rerun-incomplete: true",
        )


def _container(site: Site) -> Iterator[Finding]:
    """--nv makes the GPUs visible in containers; --cleanenv keeps out the host's environment."""
    if site.deployment != "apptainer":
        return
    words = str(site.options.get("apptainer_args") or "").split()
    if "--nv" not in words and any(map(_asks_gpu, site.requests)):
        yield failure(
            "profile",
            "apptainer-args lack --nv: no container would see a GPU, and training would run "
            "on the CPU without a warning",
            'apptainer-args: "--nv --cleanenv" (`--rocm` is not known to work)',
        )
    if not {"--cleanenv", "-e"} & set(words):
        yield warning(
            "profile",
            "apptainer-args lack --cleanenv: variables of your shell change what jobs do. "
            f"({', '.join(JOB_VARIABLES)} are set in the container either way.)",
            'apptainer-args: "--nv --cleanenv"',
        )


def _trainings(site: Site) -> Iterator[Finding]:
    """A training that requests no GPU gets none, and torch trains on the CPU without a warning."""
    device = site.settings.compute.device
    without = [r.rule for r in site.requests if r.rule in TRAININGS and not _asks_gpu(r)]
    if not without or device == "cpu":
        return
    finding, outcome = (
        (failure, "stop") if device == "cuda" else (warning, "train on a CPU without a warning")
    )
    yield finding(
        "profile",
        f"{', '.join(without)}: the profile requests no GPU, and compute.device is {device}: such "
        f"a job would {outcome}",
        "Under the rule's name in set-resources of the profile, indented: gres: \"'gpu:MODEL:1'\", "
        "or gpu: 1. If this is intended, set compute: {device: cpu} in the settings.",
    )


def _asks_gpu(request: Request) -> bool:
    """Whether it requests a GPU, by a resource or by options in slurm_extra."""
    words = " ".join(request.options())
    return bool(request.gpus or re.search(r"(^|\s)(--gres[= ]\S*gpu|--gpus|-G)", words))
