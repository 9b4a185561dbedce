"""The table of inputs and targets on which the flows are trained and tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config.models import Flows
from mgsflow.config.sample import Photometry, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.latents import is_latent, latent_columns
from mgsflow.core.progress import say
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.tables import read_quantities, read_table, write_table
from mgsflow.models.inputs import input_columns

SETS = ("train", "validation", "test")


def features(
    *,
    splits: Path,
    targets_table: Path,
    photometry_table: Path | None = None,
    latents: Path | None = None,
    targets: Targets,
    photometry: Photometry,
    flows: Flows,
    out: Path,
) -> None:
    """Join the inputs and targets of the flows' galaxies by objid.

    The table has objid, set (train, validation or test), all inputs of the variants in
    `flows.variants`, and all targets. Only metallicity may be NaN.
    """
    galaxies = _flow_galaxies(splits)
    table = _join(galaxies, targets_table, [*targets.properties, *targets.lines])
    if photometry_table is not None:
        table = _join(table, photometry_table, None)
    if latents is not None:
        table = _join(table, latents, None)
    # the encoder describes its own latents; the vocabulary describes all other columns
    described = [] if latents is None else read_quantities(latents)
    inputs = _inputs(table, flows, photometry)
    goals = [*targets.properties, *targets.lines]
    _check_finite(table, [*inputs, *(name for name in goals if name != METALLICITY)], splits)
    write_table(out, table[["objid", "set", *inputs, *goals]], described)
    counts = table["set"].value_counts()
    say("features: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in SETS))


def _flow_galaxies(splits: Path) -> pd.DataFrame:
    table = read_table(splits, ["objid", "set"])
    _check_unique(table, splits)
    table = table[table["set"].isin(SETS)].sort_values("objid").reset_index(drop=True)
    empty = [name for name in SETS if not (table["set"] == name).any()]
    if empty:
        raise UserError(
            f"{splits}: no galaxy in the set {', '.join(empty)}. The flows need the sets "
            f"{', '.join(SETS)}: enlarge the sample, or change the shares in `splits`."
        )
    return table


def _join(table: pd.DataFrame, path: Path, columns: list[str] | None) -> pd.DataFrame:
    """`table` with the columns of the file at `path`, which must have each objid exactly once."""
    other = read_table(path, None if columns is None else ["objid", *columns])
    _check_unique(other, path)
    absent = ~table["objid"].isin(other["objid"])
    if absent.any():
        raise UserError(
            f"{path}: {absent.sum()} of the flows' {len(table)} galaxies are missing, such as "
            f"objid {table.loc[absent, 'objid'].iloc[0]}. Rerun the stages in their order."
        )
    fresh = ["objid", *(name for name in other if name not in table)]
    return table.merge(other[fresh], on="objid", how="left", validate="one_to_one")


def _check_unique(table: pd.DataFrame, path: Path) -> None:
    if table["objid"].dtype != np.int64:
        raise UserError(f"{path}: objid is {table['objid'].dtype}; expected int64")
    repeated = table["objid"].duplicated()
    if repeated.any():
        raise UserError(
            f"{path}: {repeated.sum()} objid occur more than once, such as "
            f"{table.loc[repeated, 'objid'].iloc[0]}. Each galaxy must have one row."
        )


def _inputs(table: pd.DataFrame, flows: Flows, photometry: Photometry) -> list[str]:
    """The inputs of all variants: latents, colours, rest-frame colours, magnitudes."""
    needed: set[str] = set()
    for variant in flows.variants:
        needed |= set(input_columns(variant, photometry.bands, table.columns))
    order = [*latent_columns(table.columns), *(n for n in table if not is_latent(n))]
    return [name for name in order if name in needed]


def _check_finite(table: pd.DataFrame, columns: list[str], splits: Path) -> None:
    bad = ~np.isfinite(table[columns].to_numpy(np.float64))
    if bad.any():
        counts = {name: int(bad[:, i].sum()) for i, name in enumerate(columns) if bad[:, i].any()}
        row = table["objid"].to_numpy()[bad.any(axis=1)][0]
        raise UserError(
            f"{splits}: {bad.any(axis=1).sum()} of {len(table)} galaxies have inputs or targets "
            f"that are not finite: {counts}; the first is objid {row}. The stage splits excludes "
            "such galaxies: rerun it with the settings of this run."
        )
