"""Fixtures of all tests: the same random numbers for each, and the real data where they are."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)
    try:
        import torch
    except ImportError:
        return
    torch.manual_seed(0)


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
