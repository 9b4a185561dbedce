"""The images' lock and what stops a run: each thing that can be wrong, and what is said of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from mgsflow.archive.source import SOURCE, source_files
from mgsflow.core.errors import UserError
from mgsflow.site.containers import check
from mgsflow.site.start import check_programs, check_start, too_many_threads

INPUTS = ("install.sh", "mgsflow")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_lock(envs: Path, names=("data", "train")) -> None:
    """images.lock as envs/images.sh writes it."""
    lines = ["# made by hand, for a test"]
    for name in names:
        files = [f"{name}.lock", f"{name}.def", *INPUTS]
        words = [f"{file}={digest(envs / file)}" for file in files]
        image = f"{name}.sif={digest(envs / 'images' / f'{name}.sif')}"
        lines.append(" ".join([name, image, *words, "pip=0123"]))
    (envs / "images.lock").write_text("\n".join(lines) + "\n")


@pytest.fixture
def envs(tmp_path) -> Path:
    folder = tmp_path / "envs"
    (folder / "images").mkdir(parents=True)
    for file in INPUTS:
        (folder / file).write_text(f"{file}\n")
    for name in ("data", "train"):
        (folder / f"{name}.lock").write_text(f"{name}==1\n")
        (folder / f"{name}.def").write_text(f"Bootstrap: {name}\n")
        (folder / "images" / f"{name}.sif").write_bytes(name.encode() * 10**6)
    write_lock(folder)
    return folder


def refused(envs: Path, *names: str) -> tuple[str, str]:
    """What is wrong, and the remedy."""
    with pytest.raises(UserError) as caught:
        check(envs, names or ("data", "train"))
    words, remedy = str(caught.value).split("\n")
    return words, remedy


def test_images_as_they_were_built_pass(envs):
    check(envs, ["data", "train"])
    check(envs, ["data"])


def test_without_a_lock_no_image_is_trusted(envs):
    (envs / "images.lock").unlink()
    words, remedy = refused(envs)
    assert "images.lock: missing" in words and remedy.endswith("make images IMAGES='data train'")


def test_a_missing_image_is_named_and_only_if_it_is_asked_for(envs):
    (envs / "images/data.sif").unlink()
    words, remedy = refused(envs)
    assert words == f"{envs}/images/data.sif: missing" and remedy.endswith("IMAGES='data'")
    check(envs, ["train"])


def test_an_image_that_the_lock_does_not_have(envs):
    write_lock(envs, names=("data",))
    assert refused(envs)[0] == f"{envs}/images/train.sif: not in {envs}/images.lock"


@pytest.mark.parametrize("place", [0, 2 * 10**6, -1])
def test_one_changed_bit_anywhere(envs, place):
    image = envs / "images/data.sif"
    content = bytearray(image.read_bytes())
    content[place] ^= 1
    image.write_bytes(content)
    words, remedy = refused(envs)
    assert "data.sif: damaged or replaced" in words and "images.lock" in words
    assert "train.sif" not in words and remedy.endswith("IMAGES='data'")


@pytest.mark.parametrize("file", ["data.lock", "data.def", "install.sh", "mgsflow"])
def test_an_image_of_other_pins_or_scripts_is_stale(envs, file):
    (envs / file).write_text("changed\n")
    words, _ = refused(envs, "data")
    assert words.endswith(f"data.sif: built from another {file} than this checkout's")


def test_an_input_that_is_gone_is_a_change(envs):
    (envs / "data.lock").unlink()
    assert "another data.lock" in refused(envs, "data")[0]


def test_a_lock_that_does_not_say_from_what_pins_an_image_was_built(envs):
    image = envs / "images/data.sif"
    (envs / "images.lock").write_text(f"data data.sif={digest(image)}\n")
    assert "another data.def and data.lock" in refused(envs, "data")[0]


def test_everything_that_is_wrong_is_said_at_once(envs):
    (envs / "images/data.sif").unlink()
    (envs / "train.lock").write_text("changed\n")
    words, remedy = refused(envs)
    assert "data.sif: missing; " in words and "another train.lock" in words
    assert remedy.endswith("IMAGES='data train'")


@pytest.mark.parametrize("line", ["data", "data 0123", "data data.sif=0123 nothing"])
def test_a_lock_that_cannot_be_read(envs, line):
    (envs / "images.lock").write_text(f"# first\n{line}\n")
    words, remedy = refused(envs)
    assert "images.lock, line 2" in words and "make images" in remedy


def test_a_run_whose_jobs_are_submitted_must_say_where_their_software_is(envs):
    with pytest.raises(UserError, match=r"silently ignored(.|\n)*--sdm apptainer"):
        check_start([], True, ["data"], envs, {})
    with pytest.raises(UserError, match="silently ignored"):
        check_start(["env_modules"], True, ["data"], envs, {"MGSFLOW_ENVIRONMENT": "other"})
    check_start([], True, ["data"], envs, {"MGSFLOW_ENVIRONMENT": "active"})
    check_start(["conda"], True, ["data"], envs, {})
    check_start([], False, ["data"], envs, {})


def test_more_threads_than_cores_are_said():
    compute = {"device": "auto", "vae_threads": 8, "flow_threads": 4, "threads": 2}
    words = too_many_threads(compute, 4)
    assert words.startswith("compute.vae_threads is 8: ") and "--cores" in words
    assert "vae_threads is 8, compute.flow_threads is 4: more" in too_many_threads(compute, 2)
    assert too_many_threads(compute, 8) == ""


def test_images_are_checked_where_they_are_used_alone(envs, tmp_path, monkeypatch):
    (envs / "images/data.sif").unlink()
    check_start(["conda"], True, ["data"], envs, {})
    with pytest.raises(UserError, match="on PATH"):
        monkeypatch.setenv("PATH", str(tmp_path))
        check_start(["apptainer"], False, ["data"], envs, {})
    put_program(tmp_path, "apptainer")
    with pytest.raises(UserError, match=r"data\.sif: missing"):
        check_start(["apptainer"], False, ["data"], envs, {})
    check_start(["apptainer"], False, ["train"], envs, {})


def test_conda_needs_no_apptainer(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    check_programs(["conda"], tmp_path)
    with pytest.raises(UserError, match="apptainer is not on PATH"):
        check_programs(["apptainer"], tmp_path)


def put_program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_singularity_is_not_taken_for_apptainer(tmp_path, monkeypatch):
    """It was not tried, and nothing hands it what SLURM tells a job."""
    monkeypatch.setenv("PATH", str(tmp_path))
    put_program(tmp_path, "singularity")
    with pytest.raises(UserError, match="SingularityCE is not tried"):
        check_programs(["apptainer"], tmp_path)


def test_a_checkout_whose_path_has_a_space_takes_no_image(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    put_program(tmp_path, "apptainer")
    check_programs(["apptainer"], tmp_path)
    spaced = tmp_path / "my galaxies"
    with pytest.raises(UserError, match=r"my galaxies\nMove the checkout"):
        check_programs(["apptainer"], spaced)
    with pytest.raises(UserError, match="has a space"):
        check_start(["apptainer"], False, [], spaced / "envs", {})
    check_programs(["conda"], spaced)


def test_the_archive_holds_the_images_lock_and_no_image(envs):
    for name in SOURCE:
        if name != "envs":
            (envs.parent / name).parent.mkdir(exist_ok=True)
            (envs.parent / name).touch()
    files = source_files(envs.parent)
    assert Path("envs/images.lock") in files
    assert not [path for path in files if path.suffix == ".sif"]


def test_the_machine_that_submits_needs_none_of_the_science(repository):
    """The checks run in the environment 'workflow'."""
    code = "import sys, mgsflow.site.start; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(repository / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"numpy", "pandas", "torch", "scipy", "astropy", "snakemake"} & set(loaded)
