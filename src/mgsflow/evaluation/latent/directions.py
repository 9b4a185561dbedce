"""Decoding along the latent directions that go with a property (paper, Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from mgsflow.config import Evaluation, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.latents import latent_means
from mgsflow.core.photometry import magnitude_column
from mgsflow.core.progress import say
from mgsflow.core.seeds import hash_uniform
from mgsflow.core.surveys import SDSS
from mgsflow.core.tables import read_table
from mgsflow.evaluation.metrics import r2
from mgsflow.models.encoders.base import Decoder
from mgsflow.models.encoders.registry import load_decoder
from mgsflow.models.standardise import Standardiser

# A representative galaxy is typical in the target, and bright, so that there is something to see.
_TARGET_QUANTILES = (0.4, 0.6)
_BRIGHT_QUANTILE = 0.5


@dataclass(frozen=True)
class Regression:
    """Linear regression of a property on the standardised latent means.

    `coefficients` (latent,) in the property's unit per standard deviation of a latent; `r2` is
    that of the regression on the galaxies it was fitted to.
    """

    coefficients: np.ndarray
    intercept: float
    r2: float

    def strongest(self, count: int) -> np.ndarray:
        """The `count` dimensions with the largest absolute coefficients, the largest first."""
        return np.argsort(-np.abs(self.coefficients), kind="stable")[:count]


@dataclass(frozen=True)
class _Galaxies:
    """The flows' training galaxies that have latents: table, latent means and their scale."""

    table: pd.DataFrame
    means: np.ndarray
    scale: Standardiser


def directions(
    *,
    encoder: Path,
    latents: Path,
    features: Path,
    evaluation: Evaluation,
    targets: Targets,
    seed: int,
    out: Path,
    threads: int = 1,
) -> None:
    """Decode images along the latent directions that go with each of `direction_targets`.

    On the flows' training galaxies the property is regressed on all standardised latent means at
    once. The `direction_dimensions` latents with the largest absolute coefficients are moved
    together, each along the sign of its coefficient, so that the property rises from
    -`direction_range` to +`direction_range` standard deviations; the others stay those of a
    representative galaxy: of the brighter half (mag_r, where the run has it) and the middle fifth
    of the property, the one nearest to the median latents.

    HDF5, a group for each property the run has: `images` (steps, bands, y, x) in the stretch that
    the decoder works in, `images_nanomaggies` (not for stamps from JPEG), `steps` (sigma),
    `dimensions`, `signs`, `coefficients`, and attributes `objid`, `value`, `r2`.
    """
    torch.set_num_threads(threads)
    decoder = load_decoder(encoder)
    wanted = [name for name in evaluation.direction_targets if name in targets.properties]
    galaxies = _read(latents, features, wanted)
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["bands"] = list(decoder.layout.bands)
        file.attrs["pixel_scale"] = decoder.layout.pixel_scale
        file.attrs["unit"] = decoder.layout.unit
        for name in wanted:
            _write_direction(file, name, galaxies, decoder, evaluation, seed)


def regress(standardised: np.ndarray, values: np.ndarray) -> Regression:
    """Ordinary least squares of `values` (n,) on `standardised` latents (n, latent) and a constant.

    Where latents outnumber what the galaxies can tell, the solution of least norm.
    """
    design = np.column_stack([np.ones(len(values)), standardised]).astype(np.float64)
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    return Regression(solution[1:], float(solution[0]), r2(values, design @ solution))


def representative(
    standardised: np.ndarray,
    values: np.ndarray,
    magnitudes: np.ndarray | None,
    order: np.ndarray | None = None,
) -> int:
    """Row of the representative galaxy: see `directions`.

    `standardised` (n, latent), `values` (n,) of the property without NaN, `magnitudes` (n,) or
    None. `order` breaks ties, which a table's order must not.
    """
    low, high = np.quantile(values, _TARGET_QUANTILES)
    candidates = (values >= low) & (values <= high)
    if magnitudes is not None:
        bright = candidates & (magnitudes <= np.nanquantile(magnitudes, _BRIGHT_QUANTILE))
        candidates = bright if bright.any() else candidates
    distance = np.linalg.norm(standardised - np.median(standardised, axis=0), axis=1)
    distance = np.where(candidates, distance, np.inf)
    ties = np.zeros(len(values)) if order is None else order
    return int(np.lexsort((ties, distance))[0])


def path_through(
    base: np.ndarray, dimensions: np.ndarray, shifts: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Latents (steps, latent): `base` (latent,) with `dimensions` moved by steps * `shifts`."""
    latents = np.repeat(base[None], len(steps), axis=0)
    latents[:, dimensions] += steps[:, None] * shifts
    return latents


def _read(latents: Path, features: Path, wanted: list[str]) -> _Galaxies:
    table = read_table(features)
    absent = sorted({"objid", "set", *wanted} - set(table))
    if absent:
        raise UserError(f"{features}: no column {', '.join(absent)}. Rerun the stage features.")
    table = table[table["set"] == "train"]
    encoded = read_table(latents).set_index("objid")
    columns = latent_means(encoded.columns)
    # sorted, so that the last bits of a sum do not depend on the order of the rows
    table = table[table["objid"].isin(encoded.index)].sort_values("objid", ignore_index=True)
    if table.empty or not columns:
        raise UserError(
            f"{latents}: no latents of any training galaxy of {features}. Rerun the stage encode."
        )
    means = encoded.loc[table["objid"], columns].to_numpy(np.float64)
    return _Galaxies(table, means, Standardiser.fit(means))


def _write_direction(
    file: h5py.File,
    name: str,
    galaxies: _Galaxies,
    decoder: Decoder,
    evaluation: Evaluation,
    seed: int,
) -> None:
    known = galaxies.table[name].notna().to_numpy()
    if known.sum() < 2:
        say(f"directions: {name} is left out: fewer than two training galaxies have it")
        return
    table, means = galaxies.table[known], galaxies.means[known]
    standardised = galaxies.scale.apply(means)
    values = table[name].to_numpy(np.float64)
    regression = regress(standardised, values)
    brightness = magnitude_column(SDSS.brightness_bands[0])
    magnitudes = table[brightness].to_numpy(np.float64) if brightness in table else None
    objid = table["objid"].to_numpy(np.int64)
    row = representative(standardised, values, magnitudes, hash_uniform(objid, seed))

    dimensions = regression.strongest(evaluation.direction_dimensions)
    signs = np.sign(regression.coefficients[dimensions])
    reach = evaluation.direction_range
    steps = np.linspace(-reach, reach, evaluation.direction_steps)
    shifts = signs * galaxies.scale.std[dimensions]
    images = decoder.decode(path_through(means[row], dimensions, shifts, steps))

    group = file.create_group(name)
    data = {
        "images": images,
        "steps": steps,
        "dimensions": dimensions.astype(np.int64),
        "signs": signs.astype(np.int64),
        "coefficients": regression.coefficients[dimensions],
        "all_coefficients": regression.coefficients,
    }
    if decoder.layout.dtype != "uint8":
        data["images_nanomaggies"] = decoder.stretch.inverse(images).astype(np.float32)
    for key, value in data.items():
        group.create_dataset(key, data=value, track_times=False)
    group.attrs["objid"] = objid[row]
    group.attrs["value"] = values[row]
    group.attrs["r2"] = regression.r2
    say(
        f"directions: {name}: latents {', '.join(map(str, dimensions))} of galaxy {objid[row]}; "
        f"the regression's R2 is {regression.r2:.2f}"
    )
