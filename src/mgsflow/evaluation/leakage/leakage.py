"""The stage `leakage`: is the test set independent of the training?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from mgsflow.config import Baselines, Evaluation, Stamps, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.leakage.control import control_lines
from mgsflow.evaluation.leakage.lines import FAILED, QUANTITIES, Line, line
from mgsflow.evaluation.leakage.models import (
    input_lists,
    log1p_domain,
    no_input_is_a_target,
    standardisations,
)
from mgsflow.evaluation.leakage.shift import shift_lines
from mgsflow.evaluation.leakage.sky import shared_sky


def leakage(
    *,
    selected: Path,
    splits: Path,
    features: Path,
    models: list[Path],
    predictions: Path,
    stamps: Stamps,
    targets: Targets,
    baselines: Baselines,
    evaluation: Evaluation,
    seed: int,
    out: Path,
    threads: int = 1,
) -> None:
    """Check that the test set is independent of the training.

    --out has one row for each check and subject. --models are the folders of the flows,
    --predictions is the table of the baselines. The stage stops with an error if a galaxy is in two
    sets or a model has a forbidden input; all other results are reported.
    """
    goals = [*targets.properties, *targets.lines]
    catalogue, table = read_table(selected), read_table(features)
    sets = read_table(splits, ["objid", "set"])
    inputs = [name for name in table if name not in ("objid", "set", *goals)]
    seed_of = derive_seed(seed, "leakage")
    with threadpool_limits(limits=threads):
        rows = [
            one_set_each(sets, table, splits, features),
            *shared_sky(_with_sets(catalogue, sets), stamps),
            *input_lists(models, predictions, targets),
            no_input_is_a_target(table, inputs, goals),
            *standardisations(models, table),
            *log1p_domain(table, targets.lines),
            *control_lines(table, inputs, goals, baselines, evaluation.permutations, seed_of),
            *shift_lines(table, inputs, seed_of),
        ]
    for row in rows:
        if row["verdict"] == FAILED:
            say(f"leakage: {row['check']}, {row['subject']}: failed ({row['remark']})")
    columns = [quantity.name for quantity in QUANTITIES]
    write_table(out, pd.DataFrame(rows, columns=columns), QUANTITIES)


def one_set_each(sets: pd.DataFrame, table: pd.DataFrame, splits: Path, features: Path) -> Line:
    """Check that no galaxy is in two sets and that the features have the sets of the splits.

    Raises UserError otherwise.
    """
    repeated = sets["objid"].duplicated(keep=False)
    if repeated.any():
        objid = sets.loc[repeated, "objid"].iloc[0]
        where = ", ".join(sets.loc[sets["objid"] == objid, "set"])
        raise UserError(
            f"{splits}: objid {objid} occurs more than once ({where}). A galaxy belongs to exactly "
            "one set. Rerun the stage splits and the stages after it."
        )
    of = sets.set_index("objid")["set"].reindex(table["objid"]).to_numpy()
    strange = table["objid"].duplicated().to_numpy() | (of != table["set"].to_numpy())
    if strange.any():
        row = table[strange].iloc[0]
        raise UserError(
            f"{features}: objid {row['objid']} is in the set {row['set']}, in contradiction to "
            f"{splits} ({strange.sum()} of {len(table)} such galaxies). Rerun the stage features "
            "and the stages after it."
        )
    return line("One set for each objid", "all sets", checked=len(sets))


def _with_sets(catalogue: pd.DataFrame, sets: pd.DataFrame) -> pd.DataFrame:
    return sets.merge(catalogue, on="objid", how="left", validate="one_to_one")
