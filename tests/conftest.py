"""Fixtures of all tests: the same random numbers for each, and the real data where they are."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgsflow.cli import THREAD_VARIABLES

REPOSITORY = Path(__file__).resolve().parent.parent
# One thread in the numerical libraries of every process, unless a test or a stage sets another
# number. pytest runs one process per core, and threads that wait for a core cost several times
# their work. Set here because numpy reads it when it is imported.
for _name in THREAD_VARIABLES:
    os.environ.setdefault(_name, "1")
# The files that take minutes, the longest first. Two workers start files in this order, so that
# neither of them begins one of these when the other has nothing left to do.
LONGEST = (
    "workflow/test_dag.py",
    "real/test_real_runs.py",
    "real/test_simulated_sky.py",
    "unit/test_uncertainty_toy.py",
    "unit/test_oracle_exact.py",
    "unit/test_benchmarks_growth.py",
    "services/test_workflow.py",
    "services/test_killed.py",
    "services/test_faults.py",
    "unit/test_train_vae.py",
    "unit/test_vae_steps.py",
    "unit/test_flow_contract.py",
    "unit/test_reweight.py",
    "unit/test_oracle_compare.py",
    "unit/test_simulated_settings.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Collect the longest files first; within a file and among the others, keep the order."""
    rank = {REPOSITORY / "tests" / name: place for place, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in rank), "LONGEST names a file that is not there"
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(autouse=True)
def _seeded_in_one_thread() -> Iterator[None]:
    """Seed all generators, and undo the number of threads that a stage sets for its process.

    Before and after each test, because the fixtures of a module are set up before this one.
    """
    import numpy as np

    random.seed(0)
    np.random.seed(0)
    try:
        import torch
    except ImportError:
        yield
        return
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real SDSS data; a test that asks for it is skipped, by name, without it."""
    folder = Path(os.environ.get("MGSFLOW_REAL_DATA", REPOSITORY.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"real data: {folder} is not there; MGSFLOW_REAL_DATA names another folder")
    return folder
