"""The stage that samples the posteriors and summarises the draws in the published catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from astropy.table import Column, Table, vstack

from mgsflow.config.models import Compute, Posteriors
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.progress import track
from mgsflow.core.quantities import FLUX_OF_LINE, METALLICITY, QUANTITIES
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table
from mgsflow.inference.draws import SETS, begin_file, begin_set
from mgsflow.posterior.posterior import Posterior
from mgsflow.training.loop import choose_device

LEVELS = {"q16": 0.16, "q50": 0.50, "q84": 0.84}
MEASURABLE = f"{METALLICITY}_measurable"


def sample_posteriors(
    *,
    features: Path,
    property_model: Path | None = None,
    line_model: Path | None = None,
    posteriors: Posteriors,
    compute: Compute,
    seed: int,
    out: Path,
    catalogue: Path,
) -> None:
    """Sample the joint posteriors of the validation and test galaxies.

    --property-model and --line-model are the folders of the two flows of one variant. The draws are
    written to --out (HDF5, docs/contracts.md). Their means, standard deviations and quantiles are
    written to --catalogue (FITS), with a flag for galaxies unlike the training set's.
    """
    torch.set_num_threads(compute.flow_threads)
    posterior = Posterior.load(property_model, line_model).to(choose_device(compute))
    variant = posterior.variant
    table = read_table(features, ["objid", "set", *posterior.inputs, *posterior.targets])
    summaries = []
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        begin_file(file, posterior.targets, variant)
        for name in SETS:
            part = table[table["set"] == name].reset_index(drop=True)
            group = _begin(file, name, part, posterior, posteriors)
            set_seed = derive_seed(seed, "sample-posteriors", variant, name)
            summaries += _fill(group, name, part, posterior, posteriors, set_seed)
    _write_catalogue(catalogue, vstack(summaries, metadata_conflicts="silent"), variant)


def _begin(
    file: h5py.File,
    name: str,
    part: pd.DataFrame,
    posterior: Posterior,
    settings: Posteriors,
) -> h5py.Group:
    return begin_set(
        file,
        name,
        part["objid"].to_numpy(np.int64),
        part[posterior.targets].to_numpy(np.float64),
        posterior.members,
        posterior.draws_per_member(settings.draws),
        posterior.detects,
    )


def _fill(
    group: h5py.Group,
    name: str,
    part: pd.DataFrame,
    posterior: Posterior,
    settings: Posteriors,
    seed: int,
) -> Iterator[Table]:
    """Write draws to the file chunk by chunk, and yield each chunk's rows of the catalogue."""
    starts = range(0, len(part), settings.chunk)
    for start in track(starts, f"{posterior.variant}, {name}: chunks of {settings.chunk}"):
        rows = slice(start, min(start + settings.chunk, len(part)))
        chunk = part.iloc[rows]
        draws = posterior.sample_members(chunk, settings.draws, seed, first_row=start)
        _check_draws(draws, chunk)
        group["draws"][rows] = draws
        group["mean_head"][rows] = posterior.mean_head(chunk)
        measurable = posterior.measurable(chunk)
        if measurable is not None:
            group["measurable"][rows] = measurable
        table = summarise(chunk["objid"].to_numpy(), name, draws, posterior.targets, measurable)
        _add_flag(table, posterior.out_of_distribution_score(chunk))
        yield table


def _check_draws(draws: np.ndarray, chunk: pd.DataFrame) -> None:
    bad = ~np.isfinite(draws).all(axis=(1, 2, 3))
    if bad.any():
        objid = chunk["objid"].to_numpy()[bad][0]
        raise UserError(
            f"{bad.sum()} galaxies have draws that are not finite, the first with objid {objid}: "
            "their inputs are far outside those of the training set. Exclude them in the selection."
        )


def summarise(
    objid: np.ndarray,
    set: str,
    draws: np.ndarray,
    targets: list[str],
    measurable: np.ndarray | None,
) -> Table:
    """The catalogue's rows: moments and quantiles over the draws of all members.

    `draws` has shape (n, members, draws, targets), `measurable` (n, members). The quantiles of a
    line's flux are those of ln(1 + F), transformed back: a monotonic function preserves quantiles.
    """
    table = Table({"objid": objid, "set": np.full(len(objid), set, "U10")})
    pooled = draws.reshape(len(draws), -1, len(targets)).astype(np.float64)
    for i, target in enumerate(targets):
        quantiles = np.quantile(pooled[..., i], list(LEVELS.values()), axis=1)
        moments = {"mean": pooled[..., i].mean(axis=1), "std": pooled[..., i].std(axis=1)}
        columns = moments | dict(zip(LEVELS, quantiles, strict=True))
        for name, values in columns.items():
            table[f"{target}_{name}"] = _column(target, values, name)
        if target in FLUX_OF_LINE:
            flux = FLUX_OF_LINE[target]
            for name, values in zip(LEVELS, np.expm1(quantiles), strict=True):
                table[f"{flux}_{name}"] = _column(flux, values, name)
    if measurable is not None:
        table[MEASURABLE] = Column(
            measurable.mean(axis=1), description="Probability that metallicity is measurable"
        )
    return table


def _add_flag(table: Table, score: np.ndarray) -> None:
    """Add the flag of galaxies unlike the training set's, and its score (n,), as columns."""
    table["out_of_distribution_score"] = Column(
        score.astype(np.float32),
        description="Nats by which ln p(inputs) is below the flag's threshold",
    )
    table["out_of_distribution"] = Column(
        score > 0,
        description="Inputs unlike the training set's: believe no posterior. Set for 1% of "
        "galaxies like the validation set's; for up to 2% with images and photometry",
    )


def _column(quantity: str, values: np.ndarray, statistic: str) -> Column:
    described = QUANTITIES[quantity]
    unit, text = described.unit, described.description
    if unit.startswith("dex("):
        # FITS knows no logarithmic units: the column is the plain number that the text explains
        unit, text = "", f"log10({text} / ({unit[4:-1]}))"
    text = f"{text}, {statistic} of the posterior"
    return Column(values.astype(np.float32), unit=unit or None, description=text)


def _write_catalogue(path: Path, table: Table, variant: str) -> None:
    table.meta = {"VARIANT": variant}
    with atomic_path(path) as temporary:
        table.write(temporary, format="fits")
