"""The whole DAG on a real SLURM, each rule in its own image, as profiles/slurm plans it.

Before test_faults_on_slurm.py, which trains the VAE of the same run anew.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from job_lines import read_job_line
from site_checkout import Site, logs_of

from mgsflow.archive.source import pins
from mgsflow.stages import RULES

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

RUN = "results/tiny"
NODE = {"cpu": "cpu1", "a100": "a100n1", "t4": "t4n1"}


@pytest.fixture(scope="module")
def records(whole: Site) -> dict[str, list[dict]]:
    """What each job of each rule has recorded inside of it."""
    run = whole.folder / RUN
    return {
        rule: [read_job_line(log.read_text()) for log in logs_of(part, run)]
        for rule, part in RULES.items()
    }


def _planned(site: Site, rule: str) -> tuple[str, str | None]:
    """Partition and GPU that the profile gives a rule."""
    profile = yaml.safe_load((site.folder / "profiles/slurm/config.yaml").read_text())
    asked = profile["default-resources"] | profile["set-resources"].get(rule, {})
    return asked["slurm_partition"], "0" if {"gres", "gpu"} & asked.keys() else None


def test_every_planned_job_ran_once_where_the_profile_puts_it(whole, plan, slurm):
    submitted = Counter()
    for job in re.findall(r"has been submitted with SLURM jobid (\d+)", whole.said):
        _, partition, state, comment = next(
            row for row in slurm.jobs("%A|%P|%T|%k") if row[0] == job
        )
        rule = re.fullmatch(r"rule_(\w+?)(_wildcards_.*)?", comment)[1]
        assert (partition, state) == (_planned(whole, rule)[0], "COMPLETED"), rule
        submitted[rule] += 1
    assert submitted == plan


def test_every_job_says_that_it_ran_on_its_node_with_its_gpu_alone(whole, plan, records):
    for rule, jobs in plan.items():
        partition, gpu = _planned(whole, rule)
        assert len(records[rule]) == jobs, rule
        for record in records[rule]:
            seen = record["partition"], record["node"], record["gpus"]
            assert seen == (partition, NODE[partition], gpu), rule


def test_every_job_ran_in_its_image_with_the_locked_versions(whole, plan, records):
    for rule, part in RULES.items():
        name = part.environment
        lock = pins(whole.folder)[name]
        for record in records[rule]:
            assert Path(record["container"]) == whole.folder / "envs/images" / f"{name}.sif", rule
            assert record["environment"] == name, rule
            assert record["packages"], rule
            for package, version in record["packages"].items():
                assert version.split("+")[0] == lock[package], (rule, package)


def test_nothing_is_left_to_run(whole):
    status, said = whole.run("--dry-run", profile="profiles/site", log="again.log")
    assert status == 0 and "Nothing to be done" in said, said[-3000:]
