"""What a posterior was given, in a few numbers, and the slices of galaxies it is judged in."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import BANDS
from mgsflow.evaluation.calibration.verdict_names import ALL
from mgsflow.models.inputs import input_columns

NAMES = {
    "magnitude": ("bright", "middling", "faint"),
    "redshift": ("near", "midway", "far"),
    "colour": ("blue", "green", "red"),
}
_MAGNITUDES = ("mag_r", "mag_i", "mag_g", "mag_z", "mag_u")  # the first that there is
_COLOURS = (("mag_u", "mag_r"), ("mag_g", "mag_r"), ("mag_g", "mag_i"))


def rows_of(features: pd.DataFrame, objid: np.ndarray, source: object) -> pd.DataFrame:
    """The rows of `features` (indexed by objid) in the order of `objid`.

    Raises UserError for a galaxy that `source`, the file of the features, does not have.
    """
    absent = objid[~np.isin(objid, features.index)]
    if len(absent):
        raise UserError(
            f"{source}: has no galaxy {absent[0]}, of which there are posteriors. They come from "
            "another run of features: rerun sample-posteriors."
        )
    return features.loc[objid]


def components(rows: pd.DataFrame, variant: str, most: int) -> np.ndarray:
    """Principal components (n, at most 2 `most`) of unit variance of the inputs of `variant`.

    `most` of the latents' and `most` of the photometry's, each standardised first: in one piece the
    many latents would drown the few magnitudes.
    """
    bands = [band for band in BANDS if f"mag_{band}" in rows]
    columns = input_columns(variant, bands, rows.columns)
    latents = [name for name in columns if name.startswith("latent_")]
    blocks = (latents, [name for name in columns if name not in latents])
    parts = [_principal(rows[block].to_numpy(np.float64), most) for block in blocks if block]
    return np.hstack(parts) if parts else np.empty((len(rows), 0))


def _principal(values: np.ndarray, most: int) -> np.ndarray:
    if not len(values):
        return np.empty((0, 0))
    spread = np.nanstd(values, axis=0)
    values = (values - np.nanmean(values, axis=0))[:, spread > 0] / spread[spread > 0]
    values = np.nan_to_num(values)  # a band that is missing says nothing
    if not values.size:
        return np.empty((len(values), 0))
    left, size, _ = np.linalg.svd(values, full_matrices=False)
    kept = size[:most] > 1e-8 * size[0]
    return left[:, :most][:, kept] * np.sqrt(len(values))


def slices(rows: pd.DataFrame, redshift: np.ndarray | None) -> dict[str, np.ndarray]:
    """Booleans (n,) by name: all galaxies, and thirds in magnitude, redshift and colour.

    `redshift` is the posterior's own mean. Thirds of the true one would not do: galaxies chosen by
    what is to be inferred have ranks that are not uniform, however good the posterior is.
    """
    quantities: dict[str, np.ndarray] = {}
    magnitude = next((name for name in _MAGNITUDES if name in rows), None)
    if magnitude:
        quantities["magnitude"] = rows[magnitude].to_numpy(np.float64)
    if redshift is not None:
        quantities["redshift"] = redshift
    colour = next((pair for pair in _COLOURS if set(pair) <= set(rows.columns)), None)
    if colour:
        quantities["colour"] = (rows[colour[0]] - rows[colour[1]]).to_numpy(np.float64)
    found = {ALL: np.ones(len(rows), bool)}
    for kind, values in quantities.items():
        found |= _thirds(values, NAMES[kind])
    return found


def _thirds(values: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    low, high = np.nanquantile(values, [1 / 3, 2 / 3]) if len(values) else (0.0, 0.0)
    masks = (values < low, (values >= low) & (values < high), values >= high)
    return dict(zip(names, masks, strict=True))
