"""The posteriors' inputs as a few principal components, and the slices of galaxies to test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_columns
from mgsflow.core.photometry import bands_in, magnitude_column
from mgsflow.core.surveys import survey_with
from mgsflow.evaluation.calibration.verdict_names import ALL
from mgsflow.models.inputs import input_columns

NAMES = {
    "magnitude": ("bright", "middling", "faint"),
    "redshift": ("near", "midway", "far"),
    "colour": ("blue", "green", "red"),
}


def rows_of(features: pd.DataFrame, objid: np.ndarray, source: object) -> pd.DataFrame:
    """The rows of `features` (indexed by objid) in the order of `objid`.

    Raises UserError for a galaxy that is not in `source`, the file of the features.
    """
    absent = objid[~np.isin(objid, features.index)]
    if len(absent):
        raise UserError(
            f"{source}: has no galaxy {absent[0]}, but the posteriors have it. They were sampled "
            "from other features: rerun sample-posteriors."
        )
    return features.loc[objid]


def components(rows: pd.DataFrame, variant: str, most: int) -> np.ndarray:
    """Principal components (n, at most 2 `most`), of unit variance, of the inputs of `variant`.

    At most `most` are of the latents and at most `most` of the photometry, each column standardised
    first. In one joint analysis the many latents would dominate the few magnitudes.
    """
    columns = input_columns(variant, bands_in(rows), rows.columns)
    latents = latent_columns(columns)
    blocks = (latents, [name for name in columns if name not in latents])
    parts = [_principal(rows[block].to_numpy(np.float64), most) for block in blocks if block]
    return np.hstack(parts) if parts else np.empty((len(rows), 0))


def _principal(values: np.ndarray, most: int) -> np.ndarray:
    if not len(values):
        return np.empty((0, 0))
    spread = np.nanstd(values, axis=0)
    values = (values - np.nanmean(values, axis=0))[:, spread > 0] / spread[spread > 0]
    values = np.nan_to_num(values)  # missing photometry is set to the mean: no information
    if not values.size:
        return np.empty((len(values), 0))
    left, size, _ = np.linalg.svd(values, full_matrices=False)
    kept = size[:most] > 1e-8 * size[0]
    return left[:, :most][:, kept] * np.sqrt(len(values))


def slices(rows: pd.DataFrame, redshift: np.ndarray | None) -> dict[str, np.ndarray]:
    """Masks (n,) by name: all galaxies, and thirds in magnitude, redshift and colour.

    `redshift` is the posterior mean. Thirds in the true redshift would be wrong: if galaxies are
    selected by the quantity to be inferred, their ranks are not uniform even for a perfect
    posterior.
    """
    quantities: dict[str, np.ndarray] = {}
    bands = bands_in(rows)
    survey = survey_with(bands)
    brightness = next((band for band in survey.brightness_bands if band in bands), None)
    if brightness:
        quantities["magnitude"] = rows[magnitude_column(brightness)].to_numpy(np.float64)
    if redshift is not None:
        quantities["redshift"] = redshift
    pair = next((pair for pair in survey.colour_pairs if set(pair) <= set(bands)), None)
    if pair:
        blue, red = (rows[magnitude_column(band)] for band in pair)
        quantities["colour"] = (blue - red).to_numpy(np.float64)
    masks = {ALL: np.ones(len(rows), bool)}
    for kind, values in quantities.items():
        masks |= _thirds(values, NAMES[kind])
    return masks


def _thirds(values: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    low, high = np.nanquantile(values, [1 / 3, 2 / 3]) if len(values) else (0.0, 0.0)
    masks = (values < low, (values >= low) & (values < high), values >= high)
    return dict(zip(names, masks, strict=True))
