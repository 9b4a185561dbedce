"""mgsflow infer: the draws of `Posterior.sample`, from disk to disk, block by block."""

import json
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from synthetic_features import make_features, train

from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import write_table
from mgsflow.inference import infer as module
from mgsflow.inference.infer import infer
from mgsflow.posterior.posterior import Posterior

TARGETS = Targets()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for flow in ("property", "line"):
        train(folder, make_features(), flow, TARGETS)
    return folder


@pytest.fixture
def posterior(models):
    return Posterior.load(models)


@pytest.fixture
def table():
    return make_features(50, seed=5).reset_index(drop=True)


def _infer(models, table, folder, **options):
    galaxies, out = folder / "galaxies.parquet", folder / "draws.h5"
    write_table(galaxies, table)
    infer(galaxies=galaxies, models=models, out=out, **options)
    return h5py.File(out)


def test_draws_are_those_of_sample_in_any_blocks(models, posterior, table, tmp_path, monkeypatch):
    whole = posterior.sample(table, 12, seed=3)
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 12 * 9 * 7)  # seven galaxies at once
    with _infer(models, table, tmp_path, draws=12, seed=3) as file:
        assert file["draws"].dtype == np.float32
        assert np.allclose(file["draws"][:], whole, rtol=1e-4, atol=1e-4)
        scores = posterior.out_of_distribution_score(table)
        assert np.allclose(file["out_of_distribution_score"][:], scores, rtol=1e-5)
        assert np.array_equal(file["objid"][:], table["objid"])
        assert json.loads(file.attrs["targets"]) == posterior.targets
        assert json.loads(file.attrs["units"]) == posterior.units
        assert file.attrs["variant"] == posterior.variant and file.attrs["seed"] == 3


def test_no_more_than_a_block_is_sampled_or_read_at_once(models, table, tmp_path, monkeypatch):
    sizes = []
    sample = Posterior.sample

    def seen(self, inputs, *rest, **options):
        sizes.append(len(inputs))
        return sample(self, inputs, *rest, **options)

    monkeypatch.setattr(Posterior, "sample", seen)
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 4 * 9 * 20)
    _infer(models, table, tmp_path, draws=4).close()
    assert sizes == [20, 20, 10]


def test_galaxies_without_an_identifier(models, table, tmp_path):
    with _infer(models, table.drop(columns="objid"), tmp_path, draws=2) as file:
        assert "objid" not in file and len(file["draws"]) == len(table)


def _beyond_int64(objid, row):
    """As unsigned integers, of which the one of `row` has no int64."""
    return objid.astype(np.uint64).where(objid.index != row, np.uint64(2**63 + 5))


def test_the_largest_identifier_of_an_unsigned_column_is_kept(models, table, tmp_path):
    largest = table["objid"].astype(np.uint64).where(table.index != 7, np.uint64(2**63 - 1))
    with _infer(models, table.assign(objid=largest), tmp_path, draws=2) as file:
        assert file["objid"][7] == 2**63 - 1 and file["objid"][8] == table["objid"][8]


def test_rows_of_bad_identifiers_are_the_tables_not_the_blocks(
    models, table, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_CHECKED_AT_ONCE", 16)
    with pytest.raises(UserError, match="rows 40 "):
        _infer(models, table.assign(objid=_beyond_int64(table["objid"], 40)), tmp_path, draws=2)


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda", "torch finds no GPU"), ("gpu", r"infer --device.*(?s:.)*'auto', 'cpu' or 'cuda'")],
)
def test_a_device_that_is_not_here_is_the_users_fault(
    models, table, tmp_path, monkeypatch, device, words
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=words):
        _infer(models, table, tmp_path, draws=2, device=device)
    assert not (tmp_path / "draws.h5").exists()


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_the_default_and_takes_a_gpu_where_there_is_one(
    models, table, tmp_path, monkeypatch, there
):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(Posterior, "to", lambda self, device: asked.append(str(device)) or self)
    _infer(models, table, tmp_path, draws=2).close()
    _infer(models, table, tmp_path, draws=2, device="auto").close()
    assert asked == 2 * ["cuda" if there else "cpu"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, x: t.drop(columns=x), "no column"),
        (lambda t, x: t.assign(**{x: t[x].where(t.index != 33)}), "rows 33"),
        (lambda t, x: t.assign(objid=t["objid"].astype(float)), "not an integer"),
        (lambda t, x: t.assign(objid=t["objid"].astype("Int64").where(t.index > 2)), "without"),
        (lambda t, x: t.assign(objid=_beyond_int64(t["objid"], 40)), r"(?s)rows 40.*2\*\*63 - 1"),
        (lambda t, x: t.iloc[:0], "has no rows"),
    ],
)
def test_a_bad_table_is_refused_before_anything_is_written(
    models, posterior, table, tmp_path, change, words
):
    with pytest.raises(UserError, match=words):
        _infer(models, change(table, posterior.inputs[1]), tmp_path, draws=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["galaxies.parquet"]


def test_a_file_that_is_no_parquet_and_none_at_all(models, tmp_path):
    path = tmp_path / "galaxies.parquet"
    options = {"galaxies": path, "models": models, "out": tmp_path / "draws.h5"}
    with pytest.raises(UserError, match="no such file"):
        infer(**options)
    path.write_text("ra,dec\n")
    with pytest.raises(UserError, match="Parquet"):
        infer(**options)
    write_table(path, pd.DataFrame({"x": [1.0]}))
    with pytest.raises(UserError, match="--draws"):
        infer(**options, draws=0)


def test_what_goes_neither_to_disk_nor_into_memory_is_refused_at_once(
    models, table, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match=r"--draws must be \d+ or less"):
        _infer(models, table, tmp_path, draws=2**29)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000))
    with pytest.raises(UserError, match=r"takes 0\.0 GB.*free\. Free some space"):
        _infer(models, table, tmp_path, draws=20)
    assert not (tmp_path / "draws.h5").exists()


def test_a_table_is_read_piece_by_piece(tmp_path):
    """Not by whole columns, which Arrow would keep: by the memory that it counts as its own."""
    random, path, columns = np.random.default_rng(1), tmp_path / "many.parquet", list("ab")
    most = []
    for rows in (300_000, 1_200_000):
        values = random.standard_normal((rows, 2))
        pd.DataFrame(values, columns=columns).to_parquet(path, row_group_size=rows)
        table = module._Table(path, SimpleNamespace(inputs=columns, variant="x"))
        before = pa.total_allocated_bytes()
        held = [pa.total_allocated_bytes() - before for _ in table.blocks(10_000)]
        assert len(held) == rows / 10_000
        most.append(max(held))
    assert most[1] < 1.2 * most[0]
