"""A real SLURM and a real Apptainer, with the project's images; skipped by name without them.

In CI MGSFLOW_CLUSTER_TESTS=required makes their absence a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apptainer as real_apptainer
import pytest
import site_checkout
import slurm as real_slurm
from site_checkout import Site

from mgsflow.site.deployment import EVERY_RUN

REQUIRED = "MGSFLOW_CLUSTER_TESTS"


def _have(reason: str) -> None:
    if reason and os.environ.get(REQUIRED) == "required":
        pytest.fail(f"cluster tests are required here ({REQUIRED}): {reason}")
    if reason:
        pytest.skip(f"cluster: {reason}")


@pytest.fixture(scope="session")
def variables() -> Iterator[dict[str, str]]:
    """The environment in which Apptainer runs."""
    _have(real_apptainer.missing())
    with tempfile.TemporaryDirectory(prefix="mgsflow-apptainer-") as folder:
        yield real_apptainer.environment(Path(folder))


@pytest.fixture(scope="session")
def images(repository: Path, variables: dict[str, str]) -> Path:
    """The folder of the images, built at once if what they are made of has changed.

    A build is mostly pip, which keeps one core busy.
    """

    def build(name: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [repository / "envs/images.sh", name],
            env={"BASE": "debian"} | variables,  # BASE= in the environment: the official image
            capture_output=True,
            text=True,
        )

    with ThreadPoolExecutor() as pool:
        for done in pool.map(build, EVERY_RUN):
            assert done.returncode == 0, done.stdout + done.stderr
    return repository / "envs/images"


@pytest.fixture(scope="session")
def slurm() -> Iterator[real_slurm.Slurm]:
    """A running SLURM of three nodes. Its folder's path is short: sockets' paths have a limit."""
    _have(real_slurm.missing())
    folder = Path(tempfile.mkdtemp(prefix="mgsflow-slurm-", dir="/tmp"))
    with real_slurm.Slurm(folder) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)  # a job's steward may still write


@pytest.fixture(scope="session")
def site(
    repository: Path,
    slurm: real_slurm.Slurm,
    images: Path,
    variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """A user's checkout on the cluster, with images."""
    return site_checkout.copy(repository, tmp_path_factory.mktemp("site"), variables)


@pytest.fixture(scope="session")
def plan(site: Site) -> dict[str, int]:
    """How many jobs of each rule the whole run has."""
    return {rule: jobs for rule, jobs in site.plan().items() if rule != "all"}


@pytest.fixture(scope="session")
def whole(site: Site, plan: dict[str, int]) -> Site:
    """The checkout after a whole run through the profile; `whole.said` is what Snakemake said."""
    status, site.said = site.run(profile=site.write_profile())
    assert status == 0, site.said[-10000:]
    return site
