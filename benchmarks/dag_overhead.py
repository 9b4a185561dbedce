"""Split the wall time of a run into the work of its rules and overhead.

The jobs are those of one Snakemake run. .snakemake/metadata records their start and end times,
inputs and outputs, and .snakemake/log those of the run. Three wall times are compared:

- the wall time of the run;
- that of the same jobs, each started as soon as its inputs exist and its cores are free, in the
  order in which they were started (list scheduling). The difference is the time of Snakemake, which
  reads the rules, makes the DAG, chooses jobs and manages files;
- that of these jobs without the start of their processes (interpreter and imports): the work of the
  rules.

Cores that are idle because the next job waits for another's output are part of all three times and
are not counted as overhead: no schedule of these jobs in this order has fewer.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mgsflow.stages import STAGES

GOAL = 0.20  # of the wall time may be overhead
_STARTED = "%Y-%m-%dT%H%M%S.%f"  # in the name of a run's log, local time
_ELAPSED = re.compile(r"^Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)$", re.MULTILINE)
_CORES = re.compile(r"^Provided cores: (\d+)", re.MULTILINE)
_STEPS = re.compile(r"^(\d+) of \1 steps \(100%\) done", re.MULTILINE)
_THREADS = re.compile(r"--threads (\d+)")
# Stages whose number of threads is in the settings of `compute`, and its key there
_OWN_THREADS = {
    "train-vae": "vae_threads",
    "encode": "vae_threads",
    "train-conditional-vae": "vae_threads",
    "train-flow": "flow_threads",
    "sample-posteriors": "flow_threads",
    "out-of-distribution": "flow_threads",
    "speed": "flow_threads",
}


@dataclass(frozen=True)
class Job:
    """A finished job: start and end in seconds since 1970, the files that it read and wrote."""

    stage: str
    start: float
    end: float
    threads: int
    inputs: frozenset[str]
    outputs: frozenset[str]

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """One call of Snakemake: start (seconds since 1970), wall seconds, cores, jobs.

    `planned` is the number of jobs that it ran. `jobs` lacks those whose files a later run has
    written again.
    """

    start: float
    seconds: float
    cores: int
    planned: int
    jobs: list[Job]


@dataclass(frozen=True)
class Overhead:
    """Wall seconds of a run; without Snakemake; and without the starts of processes too."""

    wall: float
    scheduled: float
    work: float
    before: float
    busy: float
    cores: int

    @property
    def share(self) -> float:
        """Fraction of the wall time that is not the work of the rules."""
        return (self.wall - self.work) / self.wall


def last_run(folder: Path) -> Run:
    """The run with the most jobs among those whose logs and records are in `folder`/.snakemake.

    Raises ValueError if no run has come to its end.
    """
    jobs = read_jobs(folder / ".snakemake" / "metadata")
    found = [run for log in _logs(folder) if (run := _run(log, jobs)) and run.jobs]
    if not found:
        raise ValueError(f"{folder}/.snakemake: no run that came to its end, with its jobs")
    return max(found, key=lambda run: len(run.jobs))


def _logs(folder: Path) -> list[Path]:
    return sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"))


def _run(log: Path, jobs: list[Job]) -> Run | None:
    text = log.read_text(encoding="utf-8")
    elapsed, cores, steps = (words.search(text) for words in (_ELAPSED, _CORES, _STEPS))
    if not elapsed or not cores or not steps:
        return None
    start = datetime.strptime(log.name.removesuffix(".snakemake.log"), _STARTED).timestamp()
    days, hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
    wall = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    own = [job for job in jobs if start <= job.start and job.end <= start + wall]
    # the last step is rule all, which is no job
    return Run(start, wall, int(cores[1]), int(steps[1]) - 1, own)


def read_jobs(folder: Path) -> list[Job]:
    """All jobs of which Snakemake keeps a record in `folder`, in the order of their starts."""
    found: dict[tuple, list[tuple[str, dict]]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            output = _output(path.relative_to(folder))
            key = record["rule"], record["endtime"], tuple(record["log"])
            found.setdefault(key, []).append((output, record))
    return sorted((_job(files) for files in found.values()), key=lambda job: job.start)


def _output(path: Path) -> str:
    """The file of a record, whose name is the file's path in base64, in pieces if it is long."""
    name = "".join(part.removeprefix("@") for part in path.parts)
    return base64.urlsafe_b64decode(name).decode()


def _job(files: list[tuple[str, dict]]) -> Job:
    record = files[0][1]
    return Job(
        stage=stage_of(record["rule"]),
        start=min(one["starttime"] for _, one in files),
        end=record["endtime"],
        threads=_threads(record["shellcmd"] or ""),
        inputs=frozenset(record["input"]),
        outputs=frozenset(output for output, _ in files),
    )


def stage_of(rule: str) -> str:
    """The command of a rule: the longest one that its name begins with (figure2a: figure2)."""
    name = rule.replace("_", "-")
    return max((stage for stage in STAGES if name.startswith(stage)), key=len, default=rule)


def _threads(command: str) -> int:
    words = command.split()
    own = _OWN_THREADS.get(words[1]) if len(words) > 1 else None
    if own and (found := re.search(rf'"{own}": (\d+)', command)):
        return int(found[1])
    found = _THREADS.search(command)
    return int(found[1]) if found else 1


def overhead(run: Run, starts: dict[str, float]) -> Overhead:
    """Compare the wall time of the run with that of its jobs; `starts` has seconds by stage."""
    lighter = [
        replace(job, start=min(job.end, job.start + starts.get(job.stage, 0.0))) for job in run.jobs
    ]
    return Overhead(
        wall=run.seconds,
        scheduled=makespan(run.jobs, run.cores),
        work=makespan(lighter, run.cores),
        before=min(job.start for job in run.jobs) - run.start,
        busy=sum(job.seconds * min(job.threads, run.cores) for job in run.jobs),
        cores=run.cores,
    )


def makespan(jobs: list[Job], cores: int) -> float:
    """Wall seconds of `jobs` on `cores` by list scheduling in their order, without any delay.

    A job starts as soon as the jobs that write its inputs have ended and its cores are free. Of
    several such jobs the first in the list starts; if it does not fit, a later one starts instead.
    """
    waiting, needs = list(range(len(jobs))), _needs(jobs)
    running: dict[int, float] = {}
    ended: set[int] = set()
    now, free = 0.0, cores
    while waiting or running:
        for number in list(waiting):
            threads = min(jobs[number].threads, cores)
            if needs[number] <= ended and threads <= free:
                waiting.remove(number)
                running[number] = now + jobs[number].seconds
                free -= threads
        number = min(running, key=lambda n: running[n])
        now = running.pop(number)
        ended.add(number)
        free += min(jobs[number].threads, cores)
    return now


def _needs(jobs: list[Job]) -> list[set[int]]:
    """For each job, the numbers of the jobs that write one of its inputs or a folder of it."""
    writer = {output: number for number, job in enumerate(jobs) for output in job.outputs}

    def writers(job: Job) -> Iterator[int]:
        for path in job.inputs:
            for each in (path, *(str(parent) for parent in Path(path).parents)):
                if each in writer:
                    yield writer[each]

    return [set(writers(job)) - {number} for number, job in enumerate(jobs)]


def report(found: Overhead, run: Run) -> str:
    """The overhead as text, with its definition."""
    lost = run.planned - len(run.jobs)
    snakemake, processes = found.wall - found.scheduled, found.scheduled - found.work
    idle = found.cores * found.scheduled - found.busy
    return "\n".join(
        [
            f"Wall time: {found.wall:.1f} s on {found.cores} cores, {run.planned} jobs of "
            f"{found.busy:.0f} core-seconds",
            *(
                [f"  {lost} jobs have no record any more: the overhead is overestimated"]
                if lost
                else []
            ),
            f"  Snakemake: {snakemake:.1f} s ({snakemake / found.wall:.1%}), the time saved if "
            "each job started as soon as its inputs and cores are free; "
            f"{found.before:.1f} s of it before the first job",
            f"  Starting processes: {processes:.1f} s ({processes / found.wall:.1%}), the "
            "interpreter and imports of each job",
            f"  Overhead (sum): {found.share:.1%} of the wall time; goal: at most {GOAL:.0%}",
            f"  Not counted: {idle:.0f} core-seconds idle while jobs wait for others' outputs",
        ]
    )
