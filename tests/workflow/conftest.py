"""One tiny run of the whole DAG, shared by all tests of the workflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Checkout


@pytest.fixture(scope="session")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.copy(repository, tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def tiny(checkout: Checkout) -> Checkout:
    """The checkout after one whole tiny run."""
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-10000:]
    return checkout
