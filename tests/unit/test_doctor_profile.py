"""The doctor on the profile: read by Snakemake itself, and each setting that runs fail by."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fake_site import REPOSITORY, request, site, training

from mgsflow.core.errors import UserError
from mgsflow.site import checks_profile
from mgsflow.site.profile import Gpus, largest, read_site


@pytest.fixture(scope="module")
def tiny_site():
    """profiles/slurm with the tiny run, read where the run starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        return read_site(Path("profiles/slurm"), [Path("config/tiny.yaml")])


@pytest.fixture
def copied(repository, tmp_path, monkeypatch):
    """A copy of profiles/slurm with changes, and how it is read."""
    monkeypatch.chdir(repository)
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())

    def read(changes=None, name="config.yaml", overlay="config/tiny.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(profile | (changes or {})))
        return read_site(tmp_path, [repository / overlay], attempts=False)

    return read


def test_the_profile_is_read_as_snakemake_reads_it(tiny_site):
    options = tiny_site.options
    assert tiny_site.on_slurm
    assert tiny_site.deployment == "apptainer"
    assert options["apptainer_args"] == "--nv --cleanenv"
    assert options["slurm_status_command"] == "squeue"
    assert options["resources"] == {"downloads": 16}
    assert tiny_site.file.endswith("profiles/slurm/config.yaml")
    assert tiny_site.settings.run == "tiny"


def test_the_requests_are_those_of_snakemakes_own_plan(tiny_site):
    asked = {request.rule: request for request in tiny_site.requests}
    assert asked["train_vae"].partition == "a100"
    assert asked["train_vae"].gpus == Gpus("a100", 1)
    assert asked["train_flow"].gpus == Gpus("t4", 1)
    assert asked["select"].partition == "cpu"
    assert asked["stamps"].jobs == tiny_site.settings.stamps.shards
    # threads are the settings', not those of the machine that plans
    assert asked["train_vae"].cpus == tiny_site.settings.compute.vae_threads
    assert "all" not in asked


def test_the_last_attempt_asks_for_more(tiny_site):
    first = {request.rule: request for request in tiny_site.requests}
    last = {request.rule: request for request in tiny_site.last}
    assert first.keys() == last.keys()
    assert last["train_vae"].memory == 3 * first["train_vae"].memory  # two retries


@pytest.mark.slow
def test_a_file_for_this_version_of_snakemake_wins(copied):
    copied({"latency-wait": 11})
    found = copied({"latency-wait": 77}, name="config.v9+.yaml")
    assert found.file.endswith("config.v9+.yaml")
    assert found.options["latency_wait"] == 77


@pytest.mark.slow
def test_a_profile_that_snakemake_refuses_is_the_users_error(copied):
    with pytest.raises(UserError, match=r"cannot read this profile.*no-such-option"):
        copied({"no-such-option": 1})


@pytest.mark.slow
def test_a_run_that_cannot_be_planned_is_a_finding(copied, tmp_path):
    overlay = tmp_path / "own.yaml"
    overlay.write_text("run: own\nsky: catalogue\ncatalogue: {path: nowhere.csv, format: csv}\n")
    found = copied(overlay=overlay)
    assert found.requests == ()
    (finding,) = checks_profile.check_plan(found)
    assert finding.status == "failure"
    assert "nowhere.csv" in finding.seen


def test_settings_and_folders_that_are_wrong_are_the_users_error(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no Snakefile here"):
        read_site(repository / "profiles/slurm", [])
    monkeypatch.chdir(repository)
    with pytest.raises(UserError, match=r"absent\.yaml: no such file"):
        read_site(repository / "profiles/slurm", [tmp_path / "absent.yaml"])
    (tmp_path / "bad.yaml").write_text("vae: {latentt: 3}")
    with pytest.raises(UserError, match="latentt"):
        read_site(repository / "profiles/slurm", [tmp_path / "bad.yaml"])


def test_the_largest_request_of_a_rule_counts():
    jobs = [
        {"rule": "stamps", "threads": 2, "resources": {"mem_mb": 900, "runtime": "<TBD>"}},
        {"rule": "stamps", "threads": 1, "resources": {"mem_mb": 1300, "runtime": 60}},
        {"rule": "all", "threads": 1, "resources": {}},
    ]
    (found,) = largest(jobs)
    assert (found.jobs, found.cpus, found.memory, found.minutes) == (2, 2, 1300, 60)


def test_a_good_profile_has_no_fault():
    (found,) = checks_profile.check_profile(site())
    assert found.status == "ok"


@pytest.mark.parametrize(
    ("change", "status", "words", "remedy"),
    [
        ({"slurm_status_command": "sacct"}, "failure", "CANCELLED by UID", "squeue"),
        ({"slurm_status_command": None}, "failure", "waits for ever", "squeue"),
        ({"retries": 0}, "warning", "no retries", "retries: 2"),
        ({"latency_wait": 5}, "warning", "latency-wait is 5 s", "latency-wait: 60"),
        ({"resources": {"mem_mb": 16000}}, "failure", "limits every job's memory", "Remove mem_mb"),
        ({"rerun_incomplete": False}, "warning", "rerun-incomplete", "rerun-incomplete: true"),
        ({"rerun_triggers": ["code", "mtime"]}, "warning", "code, mtime", "params"),
        ({"apptainer_args": "--cleanenv"}, "failure", "lack --nv", "--nv"),
        ({"apptainer_args": "--nv"}, "warning", "lack --cleanenv", "--cleanenv"),
    ],
)
def test_each_fault_of_a_profile_has_its_remedy(change, status, words, remedy):
    (found,) = checks_profile.check_profile(site(**change))
    assert found.status == status
    assert words in found.seen
    assert remedy in found.remedy


def test_a_container_without_nv_is_no_fault_where_no_job_asks_for_a_gpu():
    found = site(request(), apptainer_args="--cleanenv")
    assert [finding.status for finding in checks_profile.check_profile(found)] == ["ok"]


@pytest.mark.parametrize("rule", ["train_vae", "train_conditional_vae", "train_flow"])
@pytest.mark.parametrize(("device", "status"), [("auto", "warning"), ("cuda", "failure")])
def test_a_training_that_asks_for_no_gpu_is_told_of(rule, device, status):
    found = site(request(rule), request(), config={"compute": {"device": device}})
    (finding,) = checks_profile.check_profile(found)
    assert finding.status == status
    assert finding.seen.startswith(f"{rule}: the profile requests no GPU")
    assert "gres" in finding.remedy


@pytest.mark.parametrize(
    ("asked", "device"),
    [
        (request("train_vae", gres=None), "cpu"),
        (training(), "auto"),
        (training(gres=None, gpu=1), "cuda"),
        (request("train_vae", slurm_extra="'--gpus-per-task=1'"), "cuda"),
    ],
)
def test_a_training_that_asks_for_a_gpu_or_needs_none_is_good(asked, device):
    found = site(asked, config={"compute": {"device": device}})
    assert [f.status for f in checks_profile.check_profile(found)] == ["ok"]


def test_a_gpu_asked_for_in_sbatchs_own_words_needs_nv_as_well():
    asked = request("train_vae", slurm_extra="'--gres gpu:a100:1'")
    (found,) = checks_profile.check_profile(site(asked, apptainer_args="--cleanenv"))
    assert "lack --nv" in found.seen


def test_what_concerns_clusters_is_not_asked_of_one_machine():
    found = site(executor="local", slurm_status_command=None, retries=0, latency_wait=5)
    assert [finding.status for finding in checks_profile.check_profile(found)] == ["ok"]


def test_gpus_are_read_however_the_profile_asks_for_them():
    assert training().gpus == Gpus("a100", 1)
    assert training(gres="gpu:2").gpus == Gpus("", 2)
    assert training(gres="gpu:a100").gpus == Gpus("a100", 1)
    assert training(gres=None, gpu=3, gpu_model="t4").gpus == Gpus("t4", 3)
    assert training(gres=None, gpu_model="t4").gpus == Gpus("t4", 1)
    assert training(gres=None, gpu=1).gpus == Gpus("", 1)
    assert request().gpus is None
