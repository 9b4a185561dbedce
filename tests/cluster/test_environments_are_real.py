"""What a site can get wrong about its environments, and what it is told."""

from __future__ import annotations

import os
import shutil

import pytest
from site_checkout import Site, copy

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
TARGET = ("--", "results/tiny/catalogue/selected.parquet")


@pytest.fixture
def fresh(repository, slurm, images, variables, tmp_path) -> Site:
    """A checkout of its own, whose images are copies of links that a test may break."""
    site = copy(repository, tmp_path, variables)
    folder = tmp_path / "envs/images"
    folder.unlink()
    folder.mkdir()
    for image in images.glob("*.sif"):
        (folder / image.name).symlink_to(image)
    return site


def _refused(site: Site, profile: str, slurm) -> str:
    """What a run is told that must not submit a single job."""
    before = len(slurm.jobs("%A"))
    status, said = site.run(*TARGET, profile=profile)
    assert status != 0
    assert len(slurm.jobs("%A")) == before, "a job was submitted"
    assert "Traceback" not in said
    return said


def test_without_a_deployment_method_the_rules_would_run_anywhere(fresh, slurm):
    profile = fresh.write_profile(drop=("software-deployment-method",))
    said = _refused(fresh, profile, slurm)
    assert "--sdm apptainer" in said and "silently ignored" in said


def test_apptainer_is_not_on_path(fresh, slurm):
    there = fresh.variables["PATH"].split(os.pathsep)
    without = [folder for folder in there if not shutil.which("apptainer", path=folder)]
    fresh.variables = fresh.variables | {"PATH": os.pathsep.join(without)}
    said = _refused(fresh, fresh.write_profile(), slurm)
    assert "apptainer" in said and "PATH" in said


def test_an_image_is_missing(fresh, slurm):
    (fresh.folder / "envs/images/data.sif").unlink()
    said = _refused(fresh, fresh.write_profile(), slurm)
    assert "data.sif" in said and "make images" in said


def test_an_image_is_tampered_with(fresh, slurm, images):
    image = fresh.folder / "envs/images/data.sif"
    image.unlink()
    shutil.copy2(images / "data.sif", image)
    with image.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    said = _refused(fresh, fresh.write_profile(), slurm)
    assert "data.sif" in said and "images.lock" in said


def test_an_image_is_of_another_lock(fresh, slurm):
    lock = fresh.folder / "envs/data.lock"
    lock.write_text(lock.read_text().replace("galsim==2.8.5", "galsim==2.8.4"))
    said = _refused(fresh, fresh.write_profile(), slurm)
    assert "data" in said and "make images" in said


def test_a_module_of_the_host_alone_is_not_found_in_an_image(fresh):
    """pytest is installed where Snakemake runs, and in no image."""
    module = fresh.folder / "src/mgsflow/sample/select.py"
    module.write_text(module.read_text() + "\nimport pytest\n")
    status, said = fresh.run(*TARGET, profile=fresh.write_profile(retries=0))
    assert status != 0
    log = (fresh.folder / "results/tiny/logs/select.log").read_text()
    assert "no module 'pytest' in the environment 'data'" in log
    assert "no module 'pytest'" in said, "Snakemake shows the failed rule's log"
