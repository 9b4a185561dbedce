"""A simulated SDSS on 127.0.0.1 for all tests of this folder, which share one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Loopback, serve
from pipeline import Run
from simulated_sdss import SimulatedSdss


@pytest.fixture(scope="session")
def small_sky() -> SimulatedSdss:
    """Three neighbouring fields, narrow frames, some forty galaxies: quick to cut."""
    return SimulatedSdss(galaxies=150, per_field=50, columns=420)


@pytest.fixture(scope="session")
def _small_server(small_sky: SimulatedSdss) -> Iterator[Loopback]:
    with serve(small_sky) as server:
        yield server


@pytest.fixture
def server(_small_server: Loopback) -> Iterator[Loopback]:
    """Services of `small_sky` that work, with an empty log."""
    _small_server.forget()
    yield _small_server
    _small_server.forget()
    _small_server.sdss.missing.clear()


@pytest.fixture(scope="session")
def _selected(_small_server: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Path:
    _small_server.forget()
    run = Run(tmp_path_factory.mktemp("selected"), _small_server)
    run.query()
    run.select()
    return run.folder


@pytest.fixture
def run(server: Loopback, tmp_path: Path, _selected: Path) -> Run:
    """A run whose galaxies are selected, so that stamps can be made."""
    for name in ("selected.parquet", "dropped-select.parquet"):
        (tmp_path / name).write_bytes((_selected / name).read_bytes())
    return Run(tmp_path, server)
