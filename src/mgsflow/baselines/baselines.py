"""Other methods on the same split: what Table 1's published rows are, recomputed on our galaxies.

The published baselines have other surveys' images and other definitions of SFR and metallicity;
only numbers from the same galaxies, targets and split can be compared with ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mgsflow.baselines.predictions import (
    CONDITIONAL_VAE,
    LEAST_MEASURED,
    NO_BLOCK,
    QUANTITIES,
    SETS,
    empty,
    long,
)
from mgsflow.baselines.regressors import FITS, Data
from mgsflow.config import Baselines, Splits, Stamps, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_means
from mgsflow.core.photometry import bands_in, magnitude_columns
from mgsflow.core.progress import say, track
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.embedding import (
    photometry_columns,
    with_colours,
)
from mgsflow.sample.sky_blocks import BY_GALAXY, BY_SKY, sky_blocks, why_no_blocks
from mgsflow.sample.splits import LEAST, divide_flows

PHOTOMETRY_BANDS = ["r", "g", "z"]  # the bands of AstroCLIP's photometry baseline, the paper's [28]
LEAST_BLOCKS = 5  # of a test set, below which its interval says nothing


def baselines(
    *,
    features: Path,
    selected: Path,
    baselines: Baselines,
    targets: Targets,
    splits: Splits,
    stamps: Stamps,
    seed: int,
    out: Path,
    threads: int = 1,
) -> None:
    """Train the baselines on the flows' training set and predict the validation and test sets.

    photometry_mlp sees the r, g, z magnitudes (paper, Table 1, [28]), image_mlp and image_knn the
    latent means, photometry_boosting all magnitudes and observed colours. Trainings stop early by
    the loss on our validation set. A method whose inputs the run lacks is left out, and said so;
    a missing metallicity leaves its galaxy out of the training on metallicity alone.

    photometry_boosting_sky is the boosting on another split of the same galaxies: by blocks of
    sky, by their positions in the table `selected`, in the shares of `splits`. Its test set has
    neither pixels nor clusters in common with its training set. conditional_vae is trained by the
    stage train-conditional-vae; without stamps it is among those left out here.
    """
    names = [*targets.properties, *targets.lines]
    table = _read(features, names)
    left_out: dict[str, str] = {}
    inputs: dict[str, list[str]] = {}
    parts = [empty()]
    with threadpool_limits(limits=threads):
        for method in track(baselines.methods, "baselines"):
            if method == CONDITIONAL_VAE and stamps.provider != "none":
                continue  # a stage of its own trains it
            columns, reason = _columns(method, list(table))
            rows = table
            if method.endswith("_sky") and not reason:
                rows, reason = _by_sky(table, selected, splits, seed)
            if reason:
                left_out[method] = reason
                say(f"baselines: {method} is left out: {reason}")
                continue
            inputs[method] = columns
            seed_of = derive_seed(seed, "baselines", method) % 2**32  # scikit-learn takes 32 bits
            found = predictions(rows, columns, names, method, baselines, seed_of)
            parts += [_with_split(part, rows) for part in found]
    notes = {"left_out": left_out, "inputs": inputs}
    write_table(out, pd.concat(parts, ignore_index=True), QUANTITIES, notes)


def _read(features: Path, names: list[str]) -> pd.DataFrame:
    table = read_table(features)
    absent = sorted({"objid", "set", *names} - set(table))
    if absent:
        raise UserError(f"{features}: no column {', '.join(absent)}. Rerun the stage features.")
    for name in SETS:
        if not (table["set"] == name).any():
            raise UserError(
                f"{features}: no galaxy in the set {name}. Give a larger sample, or other shares "
                "in splits."
            )
    return with_colours(table, bands_in(list(table)))


def _by_sky(
    table: pd.DataFrame, selected: Path, splits: Splits, seed: int
) -> tuple[pd.DataFrame, str]:
    """`table` with other sets, and the block of each galaxy; or why that cannot be had."""
    if splits.by == BY_SKY:
        return table, "the run itself is split by sky"
    places = read_table(selected).set_index("objid").reindex(table["objid"])
    reason = why_no_blocks(places)
    if reason:
        return table, reason
    block = sky_blocks(places["ra"].to_numpy(), places["dec"].to_numpy(), splits.block)
    divided = table.assign(set=divide_flows(block, splits, seed), block=block)
    sizes = divided["set"].value_counts()
    tested = divided.loc[divided["set"] == "test", "block"].nunique()
    if tested < LEAST_BLOCKS or any(sizes.get(name, 0) < LEAST[name] for name in SETS):
        count = len(np.unique(block))
        return table, f"of {count} blocks of sky {tested} are the test set's; see splits.block"
    return divided, ""


def _with_split(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    if "block" not in rows:
        return part.assign(split=BY_GALAXY, block=NO_BLOCK)
    block = rows.set_index("objid")["block"].loc[part["objid"]].to_numpy()
    return part.assign(split=BY_SKY, block=block)


def _columns(method: str, available: list[str]) -> tuple[list[str], str]:
    """The inputs of a method, and why there are none."""
    if method == CONDITIONAL_VAE:
        return [], "the run has no stamps"
    if method.startswith("image"):
        latents = latent_means(available)
        return latents, "" if latents else "the run has no image embedding"
    if method == "photometry_mlp":
        wanted = magnitude_columns(PHOTOMETRY_BANDS)
        absent = sorted(set(wanted) - set(available))
        return wanted, f"the run has no {', '.join(absent)}" if absent else ""
    wanted = photometry_columns(bands_in(available))
    return wanted, "" if wanted else "the run has no photometry"


def predictions(
    table: pd.DataFrame,
    columns: list[str],
    names: list[str],
    method: str,
    settings: Baselines,
    seed: int,
) -> list[pd.DataFrame]:
    """Predictions of one method for all targets, with a training for each group of them.

    Fitted to the rows of `table` whose `set` is train, stopped by those of validation; a table a
    target and set, with objid, of the validation and the test galaxies.
    """
    sets = {name: table[table["set"] == name] for name in SETS}
    parts = []
    for group in _groups(sets["train"], sets["validation"], names):
        train, validation = (_measured(sets[s], columns, group) for s in ("train", "validation"))
        if len(train.inputs) < LEAST_MEASURED or not len(validation.inputs):
            say(f"baselines: {method}: too few galaxies to train on {', '.join(group)}")
            continue
        predict = FITS[method](train, validation, settings, seed)
        for name in ("validation", "test"):
            values = predict(sets[name][columns].to_numpy(np.float64))
            parts += list(long(sets[name]["objid"], method, name, group, values))
    return parts


def _groups(train: pd.DataFrame, validation: pd.DataFrame, names: list[str]) -> list[list[str]]:
    """Targets that are measured in the same galaxies, which one training can serve."""
    groups: dict[bytes, list[str]] = {}
    known = pd.concat([train[names], validation[names]]).notna().to_numpy()
    for name, measured in zip(names, known.T, strict=True):
        groups.setdefault(measured.tobytes(), []).append(name)
    return list(groups.values())


def _measured(table: pd.DataFrame, columns: list[str], group: list[str]) -> Data:
    known = table[group].notna().all(axis=1)
    return Data(
        table.loc[known, columns].to_numpy(np.float64), table.loc[known, group].to_numpy(np.float64)
    )
