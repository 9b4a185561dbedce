"""What happens on a cluster: jobs cancelled, preempted, short of memory; daemons that die.

A training is disturbed after its first checkpoints; it must go on from them and end with the
weights of one that nobody disturbed. docs/hpc.md has the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from site_checkout import Site, finish
from slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

MODEL = "results/tiny/vae/model.safetensors"
TRAIN = ("--forcerun", "train_vae", "--", MODEL)
# Long enough to be disturbed; both branches of the profile's keys (gres, gpu) are in the whole DAG.
LONG = "vae: {epochs: 300, patience: 300}\n"
LOG = "results/tiny/logs/train-vae.log"


@pytest.fixture(scope="module")
def trained(whole: Site) -> tuple[Site, str]:
    """A site where all is there that the training reads, and the weights it should end with."""
    status, said = whole.run(*TRAIN, profile=whole.write_profile(), overlay=LONG)
    assert status == 0, said[-5000:]
    return whole, _digest(whole)


def _digest(site: Site) -> str:
    return hashlib.sha256((site.folder / MODEL).read_bytes()).hexdigest()


@pytest.fixture
def start(trained: tuple[Site, str], slurm: Slurm) -> Iterator[Callable[..., Training]]:
    """Starts a training; whatever a failed test leaves of it is cleared away."""
    begun: list[Training] = []

    def one(**profile: object) -> Training:
        begun.append(Training(trained[0], slurm, **profile))
        return begun[-1]

    yield one
    for training in begun:
        training.clear_away()


class Training:
    """A training on the cluster, to be disturbed in its middle."""

    def __init__(self, site: Site, slurm: Slurm, **profile: object) -> None:
        self.site, self.slurm = site, slurm
        shutil.rmtree(site.folder / "results/tiny/checkpoints/vae", ignore_errors=True)
        (site.folder / LOG).unlink(missing_ok=True)
        self.run = site.start(*TRAIN, profile=site.write_profile(**profile), overlay=LONG)

    def said(self) -> str:
        return (self.site.folder / "snakemake.log").read_text()

    def jobs(self) -> list[str]:
        """SLURM's ids of its submissions so far."""
        return re.findall(r"submitted with SLURM jobid (\d+)", self.said())

    def log(self) -> str:
        path = self.site.folder / LOG
        return path.read_text() if path.exists() else ""

    def epoch(self) -> int:
        """The last epoch that the log tells."""
        return max(map(int, re.findall(r"epoch (\d+)/", self.log())), default=0)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
        def ended_or_true() -> bool:
            return condition() or self.run.poll() is not None

        self.slurm.wait(ended_or_true, what, seconds)
        assert condition(), f"ended before: {what}\n{self.said()[-5000:]}"

    def in_its_middle(self) -> str:
        """Wait until some epochs are done; the job's id."""
        self.wait_for(lambda: self.epoch() >= 10, "ten epochs are done")
        return self.jobs()[-1]

    def state(self, job: str) -> str:
        return next(row[1] for row in self.slurm.jobs("%A|%T") if row[0] == job)

    def clear_away(self) -> None:
        if self.run.poll() is None:
            self.run.kill()
            self.run.wait()
        self.slurm.ask("scancel", "--user=root")
        self.slurm.wait(lambda: not self.slurm.ask("squeue", "--noheader"), "no job is left")
        self.site.run("--unlock", profile="profiles/site", log="unlock.log")

    def must_end_well(self) -> None:
        assert finish(self.run) == 0, self.said()[-5000:]


def _went_on(training: Training, weights: str) -> None:
    """The training was resumed, not begun anew, and its weights tell of no disturbance."""
    after = re.search(r"continues after epoch (\d+)", training.log())
    assert after and int(after[1]) >= 10, training.log()[-2000:]
    assert _digest(training.site) == weights


def test_scancel_is_a_failed_attempt_and_the_next_goes_on(trained, slurm, start):
    _, weights = trained
    training = start()
    slurm.ask("scancel", training.in_its_middle())
    training.must_end_well()
    assert "CANCELLED" in training.said()
    assert len(training.jobs()) == 2
    _went_on(training, weights)


def test_a_requeued_job_goes_on_under_its_number(trained, slurm, start):
    _, weights = trained
    training = start()
    slurm.ask("scontrol", "requeue", training.in_its_middle())
    training.must_end_well()
    assert len(training.jobs()) == 1
    _went_on(training, weights)


def test_a_preempted_job_waits_and_goes_on(trained, slurm, start):
    _, weights = trained
    training = start()
    job = training.in_its_middle()
    urgent = ["--partition=urgent", "--nodelist=a100n1", "--exclusive", "--output=/dev/null"]
    slurm.ask("sbatch", *urgent, "--wrap=sleep 5")
    slurm.wait(lambda: training.state(job) == "PENDING", "the training was preempted")
    training.must_end_well()
    assert len(training.jobs()) == 1
    _went_on(training, weights)


def test_a_node_that_dies_has_its_job_run_again(trained, slurm, start):
    _, weights = trained
    training = start()
    job = training.in_its_middle()
    slurm.end("a100n1", signal.SIGKILL)
    for pid in _processes(job):
        _kill(pid)
    try:
        slurm.wait(lambda: slurm.states()["a100n1"].startswith("down"), "the node is down", 120)
    finally:
        slurm.start_node("a100n1")
    training.must_end_well()
    assert len(training.jobs()) == 1
    _went_on(training, weights)


def test_too_little_memory_at_first_and_enough_at_the_second_attempt(trained, start):
    site, weights = trained
    little = {"train_vae": {"mem_mb": "250 if attempt == 1 else 8000"}}
    training = start(set_resources=little)
    training.must_end_well()
    first, second = training.jobs()
    # FAILED, with the reason in SLURM's log, where memory is sampled; OUT_OF_MEMORY with cgroups
    assert training.state(first) in ("FAILED", "OUT_OF_MEMORY")
    assert training.state(second) == "COMPLETED"
    slurms = site.folder / f"results/slurm/rule_train_vae/{first}.log"
    assert "exceeded memory limit" in slurms.read_text()
    assert _digest(site) == weights


def test_what_no_node_has_is_refused_at_once(start):
    training = start(set_resources={"train_vae": {"gres": "'gpu:h100:4'"}}, retries=0)
    assert finish(training.run) == 1
    assert "Requested node configuration is not available" in training.said()
    assert not training.jobs()


def test_a_controller_that_restarts_loses_nothing(trained, slurm, start):
    site, weights = trained
    training = start()
    job = training.in_its_middle()
    try:
        slurm.end("slurmctld")
        time.sleep(5)
    finally:
        slurm.start_controller()
    slurm.wait(lambda: training.state(job) == "RUNNING", "the controller knows the job")
    training.must_end_well()
    assert len(training.jobs()) == 1
    assert _digest(site) == weights


def test_a_second_run_in_the_folder_is_refused_and_the_first_goes_on(trained, start):
    site, weights = trained
    training = start()
    training.in_its_middle()
    status, said = site.run(*TRAIN, profile="profiles/site", overlay=LONG, log="second.log")
    assert status == 1 and "cannot be locked" in said
    training.must_end_well()
    assert _digest(site) == weights


def test_after_kill_9_of_snakemake_the_run_is_unlocked_and_goes_on(trained, slurm, start):
    site, weights = trained
    training = start()
    job = training.in_its_middle()
    training.run.kill()
    training.run.wait()
    slurm.ask("scancel", job)  # the orphan would go on, and write
    slurm.wait(lambda: training.state(job) == "CANCELLED", "the orphan is gone")
    assert site.run("--unlock", profile="profiles/site", log="unlock.log")[0] == 0
    training.run = site.start("--", MODEL, profile="profiles/site", overlay=LONG)
    training.must_end_well()
    _went_on(training, weights)


def _processes(job: str) -> list[int]:
    """What runs of a job on this host: slurmstepd first, so that nobody reports the others' end."""
    stewards, others = [], []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(f"slurmstepd: [{job}.".encode()):
                stewards.append(int(folder.name))
            elif f"SLURM_JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                others.append(int(folder.name))
        except OSError:
            continue
    return stewards + others


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
