"""Draws on disk: what is written comes back, and is read no earlier than it is used."""

from dataclasses import replace

import numpy as np
import pytest
from posterior_files import write_posteriors

from mgsflow.inference.draws import PosteriorSet, read_posterior

TARGETS = ["redshift", "log_sfr"]


@pytest.fixture
def given():
    random = np.random.default_rng(0)
    return PosteriorSet(
        objid=np.arange(5, dtype=np.int64) + 1_237_648_720_000_000_000,
        draws=random.normal(size=(5, 2, 7, 2)).astype(np.float32),
        mean_head=random.normal(size=(5, 2, 2)).astype(np.float32),
        truth=random.normal(size=(5, 2)),
        measurable=random.uniform(size=(5, 2)).astype(np.float32),
        targets=TARGETS,
        variant="photometry-observed",
    )


@pytest.mark.parametrize("measurable", [True, False])
def test_what_is_written_comes_back(given, tmp_path, measurable):
    given = given if measurable else replace(given, measurable=None)
    write_posteriors(tmp_path / "p.h5", {"test": given, "validation": given})
    for name in ("test", "validation"):
        found = read_posterior(tmp_path / "p.h5", name)
        for key, value in vars(given).items():
            assert np.array_equal(getattr(found, key), value), key


def test_draws_are_mapped_and_cannot_be_changed(given, tmp_path):
    write_posteriors(tmp_path / "p.h5", {"test": given})
    draws = read_posterior(tmp_path / "p.h5", "test").draws
    assert isinstance(draws.base, np.memmap) and not draws.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        draws[0] = 0
    (tmp_path / "p.h5").unlink()  # what is mapped stays, whatever becomes of the name
    assert np.array_equal(draws, given.draws)


def test_a_set_without_galaxies(given, tmp_path):
    none = {
        key: value[:0] if isinstance(value, np.ndarray) else value
        for key, value in vars(given).items()
    }
    write_posteriors(tmp_path / "p.h5", {"test": PosteriorSet(**none)})
    assert read_posterior(tmp_path / "p.h5", "test").draws.shape == (0, 2, 7, 2)
