"""Whether the profile says what a run on a cluster needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mgsflow.core.job import HANDED
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
            "`snakemake --profile ... -n` with the same --configfile says more; the checks of what "
            "its jobs ask for were left out.",
        )
        return
    jobs = sum(request.jobs for request in site.requests)
    overlay = f"run {site.settings.run}, sky {site.settings.sky}"
    yield ok("plan", f"{jobs} jobs of {len(site.requests)} rules ({overlay}), by {site.file}")


def check_profile(site: Site) -> Iterator[Finding]:
    """Each of the settings that a run was seen to fail without."""
    found = [*_triggers(site)]
    if site.on_slurm:
        found += [*_cluster(site), *_container(site), *_trainings(site)]
    yield from found
    if not found:
        yield ok("profile", f"{site.file}: all that was looked at is as it should be")


def _triggers(site: Site) -> Iterator[Finding]:
    triggers = set(site.options.get("rerun_triggers") or [])
    if triggers != TRIGGERS:
        yield warning(
            "profile",
            f"rerun-triggers are {', '.join(sorted(triggers)) or 'the default'}: `code` and "
            "`software-env` train again where nothing has changed, and without `params` changed "
            "code goes unnoticed",
            "rerun-triggers: [mtime, params, input]",
        )


def _cluster(site: Site) -> Iterator[Finding]:
    options = site.options
    if options.get("slurm_status_command") != "squeue":
        yield failure(
            "profile",
            f"slurm-status-command is {options.get('slurm_status_command') or 'sacct'}: sacct says "
            "`CANCELLED by UID`, which the plugin does not take for an end, so that Snakemake "
            "waits for ever; and it needs slurmdbd",
            "slurm-status-command: squeue",
        )
    if not options.get("retries"):
        yield warning(
            "profile",
            "no retries: a job that a node's fault or its memory has ended ends the run",
            "retries: 2 (each attempt asks for more memory and time)",
        )
    if (options.get("latency_wait") or 0) < 30:
        yield warning(
            "profile",
            f"latency-wait is {options.get('latency_wait')} s: a shared file system may show a "
            "job's files later, and the job then counts as failed",
            "latency-wait: 60",
        )
    most = max((request.memory or 0 for request in (*site.requests, *site.last)), default=0)
    limit = (options.get("resources") or {}).get("mem_mb")
    if limit and limit < most:
        yield failure(
            "profile",
            f"resources: mem_mb={limit} clips every job's memory to that, and some need {most:,} "
            "MB: they would be killed",
            "Take mem_mb out of `resources`.",
        )
    if not options.get("rerun_incomplete"):
        yield warning(
            "profile",
            "rerun-incomplete is not set: after an interruption Snakemake stops and asks",
            "rerun-incomplete: true",
        )


def _container(site: Site) -> Iterator[Finding]:
    """--nv brings the GPUs in; --cleanenv keeps the host's environment out."""
    if site.deployment != "apptainer":
        return
    words = str(site.options.get("apptainer_args") or "").split()
    if "--nv" not in words and any(map(_asks_gpu, site.requests)):
        yield failure(
            "profile",
            "apptainer-args lack --nv: no container would see a GPU, and training would run "
            "on the CPU without a word",
            'apptainer-args: "--nv --cleanenv" (`--rocm` is not known to work)',
        )
    if not {"--cleanenv", "-e"} & set(words):
        yield warning(
            "profile",
            "apptainer-args lack --cleanenv: variables of your shell change what jobs do. "
            f"({', '.join(HANDED)} come into the container either way.)",
            'apptainer-args: "--nv --cleanenv"',
        )


def _trainings(site: Site) -> Iterator[Finding]:
    """A training that asks for no GPU gets none, and torch trains on the CPU without a word."""
    device = site.settings.compute.device
    without = [r.rule for r in site.requests if r.rule in TRAININGS and not _asks_gpu(r)]
    if not without or device == "cpu":
        return
    say, end = (failure, "stop") if device == "cuda" else (warning, "train on a CPU without a word")
    yield say(
        "profile",
        f"{', '.join(without)}: the profile asks for no GPU, and compute.device is {device}: such "
        f"a job would {end}",
        "Under the rule's name in set-resources of the profile, indented: gres: \"'gpu:MODEL:1'\", "
        "or gpu: 1. If it is meant so: compute: {device: cpu} in the settings.",
    )


def _asks_gpu(request: Request) -> bool:
    """By a resource, or in words of its own (slurm_extra)."""
    words = " ".join(request.options())
    return bool(request.gpus or re.search(r"(^|\s)(--gres[= ]\S*gpu|--gpus|-G)", words))
