"""The stage that accounts for all galaxies that left the sample."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.files import write_json
from mgsflow.core.ledger import COLUMNS, read_account
from mgsflow.core.progress import say
from mgsflow.core.tables import write_table


def account(*, parts: list[Path], out: Path, totals: Path) -> None:
    """Join the ledgers `parts`, in the order of the DAG, into one table of dropped galaxies.

    `totals` (JSON) has for each stage the numbers of galaxies that came, were kept and were
    dropped, by reason, and the changes that lost no galaxy. The shards of the stamps count as one
    stage. The numbers of successive stages are checked: each stage receives what the one before it
    kept.
    """
    entries, stages = [], {}
    for path in parts:
        rows, notes = read_account(path)
        name = "stamps" if notes["stage"].startswith("stamps-") else notes["stage"]
        entries.append(rows.assign(stage=name))
        _add(stages.setdefault(name, _empty(name)), rows, notes)
    _check_chain(stages)
    dropped = pd.concat(entries, ignore_index=True)
    write_table(out, dropped, COLUMNS)
    write_json(totals, {"stages": list(stages.values())})
    say(f"account: {len(dropped)} galaxies left, each with its stage and reason")


def _empty(name: str) -> dict:
    return {"stage": name, "came": 0, "kept": 0, "dropped": 0, "reasons": {}, "noted": {}}


def _add(total: dict, rows: pd.DataFrame, notes: dict) -> None:
    total["came"] += notes["came"]
    total["kept"] += notes["kept"]
    total["dropped"] += len(rows)
    for field, counts in (
        ("reasons", rows["reason"].value_counts(sort=False).to_dict()),
        ("noted", notes["noted"]),
    ):
        for what, count in counts.items():
            total[field][what] = total[field].get(what, 0) + int(count)


def _check_chain(stages: dict[str, dict]) -> None:
    """Raises AssertionError, which is a bug, if a galaxy was lost between two stages."""
    for stage in stages.values():
        if stage["came"] != stage["kept"] + stage["dropped"]:
            raise AssertionError(f"{stage['stage']}: the account does not add up: {stage}")
    if not {"select", "targets", "splits"} <= set(stages):
        raise UserError(
            f"--parts: ledgers of {', '.join(stages)} only; give those of select, targets and "
            "splits too."
        )
    selected = stages["select"]["kept"]
    for name in ("targets", "photometry", "stamps"):
        if name in stages and stages[name]["came"] != selected:
            raise AssertionError(f"{name}: {stages[name]['came']} came of {selected} selected")
    before = stages["select"]["kept"]
    if "index-stamps" in stages:
        came, cut = stages["index-stamps"]["came"], stages["stamps"]["kept"]
        if came != cut:
            raise AssertionError(f"index-stamps: {came} came of {cut}")
        before = stages["index-stamps"]["kept"]
    if stages["splits"]["came"] != before:
        raise AssertionError(f"splits: {stages['splits']['came']} came of {before}")
