"""The account of the whole sample: every galaxy that came is kept or has its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json
from mgsflow.core.ledger import Ledger
from mgsflow.core.tables import read_table
from mgsflow.sample.account import account


def ledger(folder: Path, stage: str, came: int, drops: dict[str, list[int]], note: int = 0) -> Path:
    """A stage's ledger, as the stage would write it."""
    book = Ledger(stage, came)
    for reason, objid in drops.items():
        book.drop(np.array(objid), reason)
    book.note("negative fluxes set to 0", note)
    path = folder / f"{stage}.parquet"
    book.write(path, came - book.dropped, allow_empty=True)
    return path


def parts(folder: Path, **changes: int) -> list[Path]:
    """Ten galaxies: two leave in select, one in a shard, one in the index, one in splits."""
    came = {"select": 10, "targets": 8, "photometry": 8, "s0": 5, "s1": 3, "index": 7}
    came = came | {"splits": 6} | changes
    return [
        ledger(folder, "select", came["select"], {"redshift is above 0.3": [1, 2]}),
        ledger(folder, "targets", came["targets"], {}, note=4),
        ledger(folder, "photometry", came["photometry"], {}),
        ledger(folder, "stamps-000", came["s0"], {"across its field's edge": [3]}, note=1),
        ledger(folder, "stamps-001", came["s1"], {}, note=2),
        ledger(folder, "index-stamps", came["index"], {"masked": [4]}),
        ledger(folder, "splits", came["splits"], {"log_sfr is missing": [9]}),
    ]


def run(folder: Path, paths: list[Path]) -> tuple[list[dict], list[dict]]:
    account(parts=paths, out=folder / "dropped.parquet", totals=folder / "account.json")
    entries = read_table(folder / "dropped.parquet").to_dict("records")
    return entries, read_json(folder / "account.json")["stages"]


def test_every_galaxy_that_left_has_its_stage_and_reason_in_the_order_of_the_dag(tmp_path):
    entries, stages = run(tmp_path, parts(tmp_path))
    assert [(e["objid"], e["stage"], e["reason"]) for e in entries] == [
        (1, "select", "redshift is above 0.3"),
        (2, "select", "redshift is above 0.3"),
        (3, "stamps", "across its field's edge"),
        (4, "index-stamps", "masked"),
        (9, "splits", "log_sfr is missing"),
    ]
    order = ["select", "targets", "photometry", "stamps", "index-stamps", "splits"]
    assert [s["stage"] for s in stages] == order


def test_the_shards_are_one_stage_and_the_numbers_add_up(tmp_path):
    _, stages = run(tmp_path, parts(tmp_path))
    stamps = next(stage for stage in stages if stage["stage"] == "stamps")
    assert stamps == {
        "stage": "stamps", "came": 8, "kept": 7, "dropped": 1,
        "reasons": {"across its field's edge": 1}, "noted": {"negative fluxes set to 0": 3},
    }  # fmt: skip
    assert all(stage["came"] == stage["kept"] + stage["dropped"] for stage in stages)
    assert stages[0]["came"] - sum(s["dropped"] for s in stages) == stages[-1]["kept"]


def test_a_run_without_stamps_or_photometry_adds_up_too(tmp_path):
    absent = ("stamps", "index-stamps", "photometry")
    paths = [path for path in parts(tmp_path, splits=8) if not path.stem.startswith(absent)]
    _, stages = run(tmp_path, paths)
    assert [stage["stage"] for stage in stages] == ["select", "targets", "splits"]


@pytest.mark.parametrize(
    "change", [{"targets": 7}, {"photometry": 9}, {"s1": 4}, {"index": 6}, {"splits": 7}]
)
def test_a_galaxy_that_went_missing_between_stages_is_noticed(tmp_path, change):
    with pytest.raises(AssertionError, match="came of"):
        run(tmp_path, parts(tmp_path, **change))


def test_nothing_dropped_is_an_account_too(tmp_path):
    paths = [ledger(tmp_path, name, 5, {}) for name in ("select", "targets", "splits")]
    entries, stages = run(tmp_path, paths)
    assert entries == [] and stages[-1]["kept"] == 5


def test_a_ledger_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"select\.parquet: no such file"):
        run(tmp_path, [tmp_path / "select.parquet"])
    with pytest.raises(UserError, match="--parts"):
        run(tmp_path, parts(tmp_path)[:1])
