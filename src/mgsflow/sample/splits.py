"""The stage that divides the galaxies into disjoint sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Photometry, Splits, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.photometry import REST_COLOUR, magnitude_columns
from mgsflow.core.progress import say
from mgsflow.core.quantities import METALLICITY, Quantity
from mgsflow.core.seeds import derive_seed, hash_uniform
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.sky_blocks import BY_GALAXY, BY_SKY, blocks_of

VAE_SETS = ("vae_train", "vae_validation")
FLOW_SETS = ("train", "validation", "test")
LEAST = {"vae_train": 2, "vae_validation": 1, "train": 10, "validation": 2, "test": 2}


def splits(
    *,
    targets_table: Path,
    photometry_table: Path | None = None,
    index: Path | None = None,
    selected: Path | None = None,
    targets: Targets,
    photometry: Photometry,
    splits: Splits,
    seed: int,
    out: Path,
    dropped: Path,
) -> None:
    """Divide the galaxies into the sets of the VAE and those of the flows (paper, section 2.1).

    Without an `index` of stamps there is no VAE, and all galaxies belong to the flows. A galaxy of
    the VAE needs only a stamp. A galaxy of the flows needs every observation, except that
    metallicity may be missing if there are other targets. The set of a galaxy depends only on its
    objid and the seed; with `splits.by: sky` it depends on the block of sky of its position in
    `selected` instead of the objid.
    """
    table = read_table(targets_table)
    if index is not None:
        table = _with_stamps(table, index)
    ledger = Ledger("splits", len(table))
    objid = table["objid"].to_numpy()
    share = splits.vae if index is not None else 0.0
    keys = pd.Series(_keys(objid, selected, splits), index=objid)
    for_vae = hash_uniform(keys.to_numpy(), derive_seed(seed, "splits", "vae")) < share
    flow_table = _with_inputs(table[~for_vae], photometry_table, photometry)
    flow_table = _complete(flow_table, targets, photometry, ledger)
    sets = _divide_all(keys[for_vae], keys[flow_table["objid"].to_numpy()], splits, seed)
    ledger.write(dropped, len(sets))
    _check_sizes(sets, index is not None, splits.by)
    write_table(out, sets, [Quantity("set", "", "Set that the galaxy belongs to")])


def _keys(objid: np.ndarray, selected: Path | None, splits: Splits) -> np.ndarray:
    """The keys to hash, (n,): galaxies with the same key are in the same set."""
    if splits.by == BY_GALAXY:
        return objid
    if selected is None:
        raise UserError("--selected: splits.by is `sky`, so name the table with the positions.")
    return blocks_of(objid, selected, splits.block)


def _with_stamps(table: pd.DataFrame, index: Path) -> pd.DataFrame:
    """The galaxies that have a stamp; the others were dropped in the stages of the stamps."""
    stamps = read_table(index, ["objid"])["objid"]
    strange = stamps[~stamps.isin(table["objid"])]
    if len(strange):
        raise UserError(
            f"{index}: {len(strange)} stamps (first {strange.iloc[0]}) are of galaxies that were "
            "not selected: they belong to an earlier selection. Remove the stamps and rerun."
        )
    return table[table["objid"].isin(stamps)].reset_index(drop=True)


def _with_inputs(table: pd.DataFrame, path: Path | None, photometry: Photometry) -> pd.DataFrame:
    """`table` with the photometry that is input to the flows, if there is any."""
    if path is None:
        if photometry.bands:
            raise UserError("--photometry-table: photometry.bands names bands, so name the table.")
        return table
    columns = magnitude_columns(photometry.bands)
    inputs = read_table(path)
    absent = [name for name in columns if name not in inputs]
    if absent:
        raise UserError(f"{path}: no column {', '.join(absent)}. Run the stage photometry again.")
    return table.merge(inputs, on="objid", how="left", validate="one_to_one")


def _complete(
    table: pd.DataFrame, targets: Targets, photometry: Photometry, ledger: Ledger
) -> pd.DataFrame:
    """The galaxies with all observations; each other counts under the first that it lacks."""
    inputs = magnitude_columns(photometry.bands)
    inputs += [name for name in table if name.startswith(REST_COLOUR)]
    for name in (*inputs, *required_targets(targets)):
        table = ledger.keep(table, table[name].notna(), f"{name} is missing")
    return table


def required_targets(targets: Targets) -> list[str]:
    """The targets that every galaxy of the flows must have."""
    names = [*targets.properties, *targets.lines]
    if names == [METALLICITY]:
        return names
    # whether metallicity can be measured is itself predicted
    return [name for name in names if name != METALLICITY]


def _divide_all(
    for_vae: pd.Series, for_flows: pd.Series, splits: Splits, seed: int
) -> pd.DataFrame:
    vae = _divide(for_vae.to_numpy(), seed, {"vae_validation": splits.vae_validation}, "vae_train")
    flows = divide_flows(for_flows.to_numpy(), splits, seed)
    parts = [
        pd.DataFrame({"objid": keys.index, "set": sets})
        for keys, sets in ((for_vae, vae), (for_flows, flows))
    ]
    return pd.concat(parts).sort_values("objid", ignore_index=True)


def divide_flows(keys: np.ndarray, splits: Splits, seed: int) -> np.ndarray:
    """The set (n,) of each galaxy of the flows; equal `keys` (n,), int64, give equal sets."""
    shares = {"train": splits.train, "validation": splits.validation}
    return _divide(keys, seed, shares, "test")


def _divide(keys: np.ndarray, seed: int, shares: dict[str, float], rest: str) -> np.ndarray:
    """The set of each key: its hash assigns it to one of `shares`, or else to `rest`."""
    u = hash_uniform(keys, derive_seed(seed, "splits", rest))
    edges = np.cumsum(list(shares.values()))
    return np.array([*shares, rest], dtype=object)[np.searchsorted(edges, u, side="right")]


def _check_sizes(sets: pd.DataFrame, with_vae: bool, by: str) -> None:
    sizes = sets["set"].value_counts()
    names = (*VAE_SETS, *FLOW_SETS) if with_vae else FLOW_SETS
    say("splits: " + ", ".join(f"{name} {sizes.get(name, 0)}" for name in names))
    for name in names:
        if sizes.get(name, 0) < LEAST[name]:
            raise UserError(
                f"splits: the set `{name}` gets {sizes.get(name, 0)} of {len(sets)} galaxies, "
                f"fewer than {LEAST[name]}. Use a larger sample or change the shares in the "
                "section splits" + (", or smaller blocks." if by == BY_SKY else ".")
            )
