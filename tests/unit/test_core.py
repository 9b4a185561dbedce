"""Files, tables, ledger, seeds: what all stages lean on."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path, read_json, sha256, write_json, write_text
from mgsflow.core.ledger import Ledger, read_account
from mgsflow.core.quantities import LINES, PROPERTIES, QUANTITIES, label
from mgsflow.core.seeds import derive_seed, generator, hash_order, hash_uniform
from mgsflow.core.tables import read_notes, read_table, write_table


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "reply"
    for name in ("first", "second"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in path.iterdir()] == ["second"]


@pytest.mark.parametrize("name", ["draws.h5", "reply"])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, name):
    path, program = tmp_path / name, "from pathlib import Path; import os, signal, sys\n"
    program += "from mgsflow.core.files import atomic_path\n"
    program += "with atomic_path(Path(sys.argv[1])) as temporary:\n"
    program += "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, path])
        assert len(list(tmp_path.iterdir())) == 1
    others = [f".{path.stem}.{os.getppid()}.partial{path.suffix}", f".a.{name}", "b.0.partial"]
    others += [f".other.{next(tmp_path.iterdir()).name.lstrip('.')}"]
    for other in others:
        (tmp_path / other).touch()
    write_text(path, "whole")
    assert {each.name for each in tmp_path.iterdir()} == {name, *others}


def test_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2.5]})
    write_json(tmp_path / "b.json", {"a": [2.5], "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    assert read_json(tmp_path / "a.json") == {"a": [2.5], "b": 1}
    with pytest.raises(ValueError):
        write_json(tmp_path / "c.json", {"a": float("nan")})


def test_columns_carry_unit_and_description_and_ids_survive(tmp_path):
    path = tmp_path / "table.parquet"
    ids = np.array([1237648674532688079, 2**63 - 1], dtype=np.int64)
    write_table(path, pd.DataFrame({"objid": ids, "mag_r": [17.0, np.nan]}), notes={"n": 2})
    field = pq.read_schema(path).field("mag_r")
    assert field.metadata[b"unit"] == b"mag"
    assert b"Model magnitude" in field.metadata[b"description"]
    back = read_table(path)
    assert back["objid"].dtype == np.int64 and (back["objid"] == ids).all()
    assert read_notes(path) == {"n": 2}


def test_reading_what_is_not_there_says_so(tmp_path):
    path = tmp_path / "table.parquet"
    with pytest.raises(UserError, match="no such file"):
        read_table(path)
    path.write_text("<html>")
    with pytest.raises(UserError, match="not a Parquet file"):
        read_table(path)
    write_table(path, pd.DataFrame({"objid": [1]}))
    with pytest.raises(UserError, match="no column mag_r"):
        read_table(path, ["objid", "mag_r"])


def test_the_ledger_balances(tmp_path):
    table = pd.DataFrame({"objid": np.arange(5, dtype=np.int64)})
    ledger = Ledger("select", len(table))
    kept = ledger.keep(table, table["objid"] != 3, "is three")
    ledger.note("negative flux set to 0", 2)
    ledger.write(tmp_path / "dropped.parquet", len(kept))
    entries, totals = read_account(tmp_path / "dropped.parquet")
    assert entries.to_dict("records") == [{"objid": 3, "stage": "select", "reason": "is three"}]
    assert totals == {
        "stage": "select",
        "came": 5,
        "kept": 4,
        "noted": {"negative flux set to 0": 2},
    }
    with pytest.raises(AssertionError, match="does not add up"):
        ledger.write(tmp_path / "dropped.parquet", 5)


def test_an_empty_sample_is_an_error_that_names_the_reasons(tmp_path):
    ledger = Ledger("select", 1)
    ledger.drop(np.array([7]), "redshift above 0.3")
    with pytest.raises(UserError, match="redshift above 0.3"):
        ledger.write(tmp_path / "dropped.parquet", 0)
    assert len(read_account(tmp_path / "dropped.parquet")[0]) == 1


def test_hashes_are_uniform_and_independent_of_order():
    ids = np.arange(1237648674532688079, 1237648674532688079 + 20_000, dtype=np.int64)
    u = hash_uniform(ids, seed=1)
    assert u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi2 of 19 degrees of freedom, p = 0.001
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03
    shuffled = np.random.default_rng(0).permutation(len(ids))
    assert (hash_uniform(ids[shuffled], seed=1) == u[shuffled]).all()
    assert abs(np.corrcoef(u, hash_uniform(ids, seed=2))[0, 1]) < 0.03


def test_the_order_by_hash_is_of_the_ids_and_not_of_their_rows():
    ids = np.arange(1237648674532688079, 1237648674532688079 + 500, dtype=np.int64)
    order = hash_order(ids, 1, "umap")
    u = hash_uniform(ids, derive_seed(1, "umap"))
    assert (np.diff(u[order]) > 0).all()
    shuffled = np.random.default_rng(0).permutation(ids)
    assert (shuffled[hash_order(shuffled, 1, "umap")] == ids[order]).all()
    assert (hash_order(ids, 1, "speed") != order).any()
    fields = ids % 7  # galaxies of one field stay together, in the order that they came in
    by_field = hash_order(fields, 1, "select", "field")
    assert (np.diff(fields[by_field]) != 0).sum() == 6
    assert all((np.diff(by_field[fields[by_field] == field]) > 0).all() for field in range(7))


def test_seeds_depend_on_run_and_name():
    assert derive_seed(1, "vae") == derive_seed(1, "vae")
    assert len({derive_seed(1, "vae"), derive_seed(2, "vae"), derive_seed(1, "flow")}) == 3
    assert generator(1, "a").random() == generator(1, "a").random()


def test_every_target_has_a_label():
    for name in (*PROPERTIES, *LINES):
        assert QUANTITIES[name].description
        assert label(name) != name
