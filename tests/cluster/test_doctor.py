"""The doctor on a real SLURM with real images: what is right is found right, each fault is named.

The nodes' GPUs are SLURM's belief alone: what a real one would answer is not proven here.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from site_checkout import Site

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def visit(site: Site, profile: str, *arguments: str) -> tuple[int, dict[str, list[dict]]]:
    """The doctor's code, and its findings by what was looked at."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mgsflow.cli", "doctor", "--json", "--profile", profile),
            *("--configfile", "config/tiny.yaml", *arguments),
        ],
        cwd=site.folder,
        env=site.environment() | {"PYTHONPATH": str(site.folder / "src")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout, done.stderr
    found: dict[str, list[dict]] = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["check"], []).append(finding)
    return done.returncode, found


def failures(found: dict[str, list[dict]]) -> dict[str, str]:
    return {
        check: finding["seen"]
        for check, findings in found.items()
        for finding in findings
        if finding["status"] == "failure"
    }


def test_a_site_that_is_right_has_only_its_missing_gpus(site):
    code, found = visit(site, site.write_profile())
    assert {"a job on a100", "a job on t4"} == failures(found).keys()
    assert code == 2
    for name in ("plan", "SLURM", "partition cpu", "partition a100", "partition t4"):
        assert found[name][0]["status"] == "ok", found[name]
    for name in ("apptainer", "images", "sbatch --test-only", "preemption", "disk"):
        assert found[name][0]["status"] == "ok", found[name]
    # a real job in a real image came back over the shared folder
    (cpu,) = found["a job on cpu"]
    assert cpu["status"] == "ok"
    assert "node cpu1" in cpu["seen"]
    assert "image" in cpu["seen"]
    answers = (site.folder / "results/doctor").glob("*/a100.json")
    record = json.loads(max(answers, key=lambda path: path.stat().st_mtime).read_text())
    assert record["environment"] == "train"
    assert record["partition"] == "a100"
    assert record["gpus"] == "0"  # in spite of the clean environment
    assert record["source"] == str(site.folder)
    assert record["torch"]["version"].startswith("2.13.0")


def test_slurm_and_the_doctor_refuse_the_same_request(site):
    asks = {"train_vae": {"gres": "'gpu:h100:1'"}, "select": {"mem_mb": 500_000}}
    profile = site.write_profile("greedy", set_resources=asks)
    code, found = visit(site, profile, "--no-submit")
    assert code == 2
    words = failures(found)
    assert "train_vae asks for 1 GPU h100, the nodes have gpu:a100" in words["partition a100"]
    assert "64,000 MB of 500,000" in words["partition cpu"]
    refused = [finding["seen"] for finding in found["sbatch --test-only"]]
    assert any("train_vae" in seen for seen in refused)
    assert any("select" in seen for seen in refused)
    assert all("Requested node configuration is not available" in seen for seen in refused)


def test_a_partition_that_is_not_there_is_named_with_those_that_are(site):
    changed = {"train_flow": {"slurm_partition": "v100"}}
    code, found = visit(site, site.write_profile("other", set_resources=changed), "--no-submit")
    assert code == 2
    assert "a100, cpu, t4, urgent" in failures(found)["partition v100"]


def test_a_full_queue_is_a_warning_and_leaves_no_job_behind(site, slurm):
    keep = ["--partition=a100", "--exclusive", "--output=/dev/null", "--parsable"]
    job = slurm.ask("sbatch", *keep, "--wrap=sleep 300").strip()
    slurm.wait(lambda: _state(slurm, job) == "RUNNING", "the node is taken")
    try:
        _, found = visit(site, site.write_profile(), "--wait", "10")
    finally:
        slurm.ask("scancel", job)
    (waiting,) = found["a job on a100"]
    assert waiting["status"] == "warning"
    assert "PENDING: Resources" in waiting["seen"]
    left = [row for row in slurm.jobs("%j|%T") if row[0].startswith("mgsflow-doctor")]
    assert left
    assert not [row for row in left if row[1] in ("PENDING", "RUNNING")]


def test_a_controller_that_is_down_is_said_to_be(site, slurm):
    slurm.end("slurmctld")
    try:
        code, found = visit(site, site.write_profile())
    finally:
        slurm.start_controller()
        slurm.wait(lambda: set(slurm.states().values()) == {"idle"}, "all nodes are back")
    assert code == 2
    assert "slurmctld does not answer" in failures(found)["SLURM"]
    assert "partition cpu" not in found


def _state(slurm, job: str) -> str:
    return next(row[1] for row in slurm.jobs("%A|%T") if row[0] == job)
