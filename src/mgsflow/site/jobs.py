"""Small real jobs: submitted together, awaited, and cancelled if they do not end in time."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from mgsflow.site.commands import ask

MINUTES = 10  # time limit of a probe: it takes seconds, but importing torch on a cold node is slow
MEMORY = 4000  # MB; torch with CUDA takes two to three thousand
POLL = 2.0  # seconds
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")


@dataclass
class Job:
    """A job and its state."""

    name: str
    number: str = ""
    state: str = ""
    reason: str = ""
    refusal: str = ""  # sbatch's message, if it refused the job

    @property
    def has_ended(self) -> bool:
        return bool(self.refusal) or self.state.startswith(ENDED)

    @property
    def is_good(self) -> bool:
        return self.state == "COMPLETED"


def submit(name: str, options: list[str], script: str, log: Path) -> Job:
    """Submit a script to SLURM."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    script_file = log.with_suffix(".sh")
    script_file.write_text(script)
    answer = ask(
        "sbatch",
        "--parsable",
        f"--job-name=mgsflow-doctor-{name}",
        f"--output={log}",
        f"--time={MINUTES}",
        f"--mem={MEMORY}",
        *options,
        str(script_file),
        seconds=60,
    )
    if not answer.good:
        return Job(name, refusal=answer.words)
    return Job(name, number=answer.out.strip().split(";")[0])


def wait(jobs: list[Job], seconds: float) -> None:
    """Wait at most `seconds` until all jobs have ended; cancel the others, even after an error."""
    try:
        end = time.monotonic() + seconds
        while open_jobs := [job for job in jobs if not job.has_ended]:
            for job in open_jobs:
                _look(job)
            if time.monotonic() > end:
                break
            if not all(job.has_ended for job in open_jobs):
                time.sleep(POLL)
    finally:
        for job in jobs:
            if job.number and not job.has_ended:
                ask("scancel", job.number)


def _look(job: Job) -> None:
    """Update the job's state. squeue lists ended jobs for some minutes only."""
    answer = ask("squeue", "--noheader", "--states=all", f"--jobs={job.number}", "-o", "%T|%r")
    line = answer.out.strip().splitlines()
    if answer.good and line:
        job.state, _, job.reason = line[0].partition("|")
    elif "Invalid job id" in answer.err:
        job.state, job.reason = "COMPLETED", "left the queue"


def batch_script(command: list[str], variables: tuple[str, ...], ping: Path | None = None) -> str:
    """A script that runs `command` where it was submitted, as the workflow runs its stages.

    `variables` are the workflow's own environment variables (mgsflow.core.job), which are passed
    into a container despite its clean environment. SLURM's answer without SLURM_CONF is written
    to the file `ping`, if there is one: the workflow's job steps do not pass SLURM_CONF on either.
    """
    lines = ["#!/bin/sh", f"cd {shlex.quote(str(Path.cwd()))} || exit 1"]
    lines += [
        f'if [ -n "${{{name}+x}}" ]; then export APPTAINERENV_{name}="${name}"; fi'
        for name in variables
    ]
    if ping:
        lines.append(f"env -u SLURM_CONF scontrol ping > {shlex.quote(str(ping))} 2>&1")
    return "\n".join([*lines, f"exec {shlex.join(command)}"]) + "\n"
