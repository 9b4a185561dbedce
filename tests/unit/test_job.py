"""A stage's log says where it ran, also in a container whose environment is clean."""

import json

import pytest
from job_lines import read_job_line

from mgsflow.core import job
from mgsflow.core.job import hand_into_containers, job_line, job_record

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_PARTITION": "a100",
    "SLURMD_NODENAME": "node3",
    "CUDA_VISIBLE_DEVICES": "1,2",
}


def test_a_record_says_what_slurm_and_the_image_say(tmp_path, monkeypatch):
    marker = tmp_path / "environment"
    marker.write_text("train\n")
    monkeypatch.setattr(job, "MARKER", marker)
    record = job_record(SLURM | {"APPTAINER_CONTAINER": "/images/train.sif"})
    versions = record.pop("packages")
    assert record.pop("python").startswith("3.")
    assert record == {
        "node": "node3",
        "partition": "a100",
        "job": "7",
        "gpus": "1,2",
        "container": "/images/train.sif",
        "environment": "train",
    }
    assert versions["torch"].startswith("2.13.0") and "bagpipes" not in versions


def test_without_slurm_and_container_the_host_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(job, "MARKER", tmp_path / "none")
    record = job_record({})
    assert record["node"]
    assert record["partition"] is record["container"] is record["environment"] is None


def test_a_log_gives_its_record_back():
    line = job_line("train-vae", "0.1.0")
    log = f"a warning of a library\n{line}\nmgsflow train-vae: epoch 1\n"
    assert read_job_line(log) == json.loads(line.split(maxsplit=3)[3])
    with pytest.raises(ValueError, match="no record"):
        read_job_line("mgsflow train-vae: epoch 1\n")


def test_what_slurm_says_is_handed_into_containers():
    environment = SLURM | {"HOME": "/root"}
    hand_into_containers(environment)
    assert environment["APPTAINERENV_CUDA_VISIBLE_DEVICES"] == "1,2"
    assert "APPTAINERENV_HOME" not in environment
