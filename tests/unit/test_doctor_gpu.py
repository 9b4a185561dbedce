"""What a probe's record means: GPUs, torch and environments, on a node and on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fake_site import PROBED, site

from mgsflow.site.checks_probe import FOLDER, check_here
from mgsflow.site.judge import judge_record
from mgsflow.site.profile import Gpus

ONE = Gpus("a100", 1)


def judged(profile=None, asked=ONE, **changes):
    record = PROBED | changes
    return list(judge_record(profile or site(), "a job on a100", asked, "train", record))


def torch(**changes):
    return {"torch": PROBED["torch"] | changes}


def test_a_gpu_that_computes_is_good():
    (found,) = judged()
    assert found.status == "ok"
    assert "A100-SXM4-40GB" in found.seen
    assert "CUDA 13.0" in found.seen


@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        ({"devices": []}, "no /dev/nvidia* is visible in the container despite --nv", "gres"),
        ({"torch": None}, "no torch in this environment", "make images"),
        (torch(cuda_build=None, available=False), "is a CPU build", "CPU and CUDA builds"),
        (torch(available=False), "finds no GPU", "driver may be too old for CUDA 13.0"),
        (torch(computes=False, words="no kernel image"), "cannot compute: no kernel", "generation"),
        ({"environment": None}, "not in the image of `train` but in no image", "make images"),
        ({"environment": "data"}, "not in the image of `train` but in data", "make images"),
    ],
)
def test_each_thing_between_a_job_and_its_gpu_fails(changes, words, remedy):
    (found,) = judged(**changes)
    assert found.status == "failure"
    assert words in found.seen
    assert remedy in found.remedy


def test_a_cpu_build_is_told_of_on_a_node_without_a_gpu_as_well():
    found = judged(devices=[], **torch(cuda_build=None, available=False))
    assert ["CPU build" in f.seen or "/dev/nvidia" in f.seen for f in found] == [True, True]


def test_a_container_without_nv_is_told_to_have_it():
    (found,) = judged(profile=site(apptainer_args="--cleanenv"), devices=[])
    assert "despite" not in found.seen
    assert "Add --nv to apptainer-args" in found.remedy


def test_a_gpu_that_slurm_does_not_assign_is_warned_of():
    (found,) = judged(gpus=None)
    assert found.status == "warning"
    assert "CUDA_VISIBLE_DEVICES" in found.seen
    (found,) = judged(asked=None, gpus=None)  # a job without GPUs needs none
    assert found.status == "ok"


def test_without_containers_the_environment_has_no_name():
    active = site(software_deployment_method=[])
    (found,) = judged(profile=active, environment=None)
    assert found.status == "ok"


@pytest.fixture
def unmade(tmp_path, monkeypatch):
    """A site by conda whose environment is yet to be made: its probes run in the login's."""
    monkeypatch.chdir(tmp_path)
    Path("envs").mkdir()
    Path("envs/train.yaml").write_text("dependencies: [python=3.11]\n")
    return {"software_deployment_method": ["conda"]}


def test_another_environments_torch_is_not_taken_for_that_of_conda(unmade):
    (found,) = judged(profile=site(**unmade), environment=None)
    assert found.status == "warning"
    assert "A100-SXM4-40GB" in found.seen
    assert "2.13.0" not in found.seen
    assert "--conda-create-envs-only" in found.remedy
    (found,) = judged(profile=site(**unmade), environment=None, devices=[])
    assert found.status == "failure"  # the node is the run's own
    (found,) = judged(profile=site(**unmade), environment=None, asked=None)
    assert found.status == "ok"
    assert "conda's `train` is not made yet" in found.seen


def test_nor_is_it_on_this_machine(unmade, monkeypatch, tmp_path):
    gpu = local("auto", monkeypatch, tmp_path, options=unmade)["GPU"]
    assert gpu.status == "warning"
    assert "computes" not in gpu.seen


def local(device, monkeypatch, tmp_path, options=None, **record):
    """What the doctor says of this machine, had the probe seen `record`."""
    monkeypatch.chdir(tmp_path)
    seen = json.dumps(PROBED | {"environment": None} | record)
    command = ["sh", "-c", f"mkdir -p {FOLDER}; echo '{seen}' > {FOLDER}/here.json"]
    monkeypatch.setattr("mgsflow.site.checks_probe.in_environment", lambda *_: command)
    options = {"executor": "local", "software_deployment_method": []} | (options or {})
    found = site(config={"compute": {"device": device}}, **options)
    return {finding.check: finding for finding in check_here(found)}


def test_a_gpu_here_is_used_or_said_not_to_be(monkeypatch, tmp_path):
    assert local("auto", monkeypatch, tmp_path)["GPU"].status == "ok"
    unused = torch(cuda_build=None, available=False, computes=False)
    found = local("auto", monkeypatch, tmp_path, **unused)["GPU"]
    assert found.status == "warning"
    assert "does not use it" in found.seen


def test_no_gpu_is_a_fault_only_where_the_settings_ask_for_one(monkeypatch, tmp_path):
    nothing = {"devices": [], "driver": {"gpus": [], "words": "none"}}
    assert "on the CPU" in local("auto", monkeypatch, tmp_path, **nothing)["GPU"].seen
    assert local("cuda", monkeypatch, tmp_path, **nothing)["training"].status == "failure"


def test_a_probe_that_does_not_run_here_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "mgsflow.site.checks_probe.in_environment", lambda *_: [sys.executable, "-c", "1/0"]
    )
    (found,) = check_here(site(executor="local"))
    assert found.status == "failure"
    assert "ZeroDivisionError" in found.seen
