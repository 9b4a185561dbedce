"""Latents and photometry embedded in the plane with UMAP (paper, Figure 4)."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import umap as umap_learn  # the package; this module is mgsflow.evaluation.latent.umap

from mgsflow.config import Evaluation, Photometry, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_means
from mgsflow.core.photometry import magnitude_column
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.seeds import derive_seed, hash_order
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.embedding import (
    common_scale,
    photometry_columns,
    with_colours,
)
from mgsflow.models.standardise import Standardiser

IMAGES, IMAGES_PHOTOMETRY, PHOTOMETRY = "images", "images_photometry", "photometry"
_LEAST = 4  # galaxies: the spectral start needs more points than it has dimensions
_QUANTITIES = (
    Quantity("inputs", "", "What was embedded: images (latent means), photometry, or both"),
    Quantity("x", "", "First coordinate of the embedding"),
    Quantity("y", "", "Second coordinate of the embedding"),
)


def umap(
    *,
    features: Path,
    evaluation: Evaluation,
    targets: Targets,
    photometry: Photometry,
    seed: int,
    out: Path,
    threads: int = 1,
) -> None:
    """Embed the flows' galaxies in two dimensions: by their images, and with photometry added.

    `images` are the latent means, `images_photometry` those with observed colours and magnitudes;
    a run without images has `photometry` alone. At most `umap_points` galaxies, chosen by a hash
    of objid, the same for both. Seeded, and therefore on one thread whatever `threads` says: the
    parallel optimisation does not repeat. The table holds objid, inputs, x, y and the run's
    `umap_targets`.
    """
    colours = [name for name in evaluation.umap_targets if name in targets.properties]
    table = _choose(_read(features, colours), evaluation.umap_points, seed)
    parts = []
    for inputs, matrix in _matrices(table, photometry.bands).items():
        say(f"umap: embedding {len(matrix)} galaxies by {inputs}")
        plane = embed(matrix, evaluation, derive_seed(seed, "umap", inputs))
        part = table[["objid", *colours]].copy()
        part.insert(1, "inputs", inputs)
        part.insert(2, "x", plane[:, 0])
        part.insert(3, "y", plane[:, 1])
        parts.append(part)
    if not parts:
        raise UserError(f"{features}: neither latents nor photometry, so nothing can be embedded.")
    write_table(out, pd.concat(parts, ignore_index=True), _QUANTITIES)


def embed(matrix: np.ndarray, evaluation: Evaluation, seed: int) -> np.ndarray:
    """UMAP (McInnes, Healy & Melville 2018) of `matrix` (n, columns): (n, 2), float32."""
    reducer = umap_learn.UMAP(
        n_neighbors=min(evaluation.umap_neighbours, len(matrix) - 1),
        min_dist=evaluation.umap_min_dist,
        random_state=seed % 2**32,  # NumPy's RandomState takes 32 bits
        n_jobs=1,
    )
    with warnings.catch_warnings():
        # it warns that a seed means one thread, which is what we ask for
        warnings.filterwarnings("ignore", message="n_jobs value")
        return reducer.fit_transform(matrix.astype(np.float32))


def _read(features: Path, colours: list[str]) -> pd.DataFrame:
    table = read_table(features)
    absent = sorted({"objid", *colours} - set(table))
    if absent:
        raise UserError(f"{features}: no column {', '.join(absent)}. Rerun the stage features.")
    if len(table) < _LEAST:
        raise UserError(f"{features}: {len(table)} galaxies are too few to embed. Use more.")
    return table


def _choose(table: pd.DataFrame, points: int, seed: int) -> pd.DataFrame:
    """At most `points` galaxies, sorted by objid: which ones does not depend on their order."""
    chosen = hash_order(table["objid"].to_numpy(np.int64), seed, "umap")[:points]
    return table.iloc[chosen].sort_values("objid").reset_index(drop=True)


def _matrices(table: pd.DataFrame, bands: list[str]) -> dict[str, np.ndarray]:
    """What is embedded, each (n, columns).

    Photometry is standardised column by column, the latents by one common scale.
    """
    latents = latent_means(table.columns)
    bands = [band for band in bands if magnitude_column(band) in table]
    columns = photometry_columns(bands)
    measured = with_colours(table, bands)[columns].to_numpy(np.float64)
    parts = {PHOTOMETRY: Standardiser.fit(measured).apply(measured)} if columns else {}
    if not latents:
        return parts
    means = table[latents].to_numpy(np.float64)
    means = common_scale(means).apply(means)
    if not columns:
        return {IMAGES: means}
    return {IMAGES: means, IMAGES_PHOTOMETRY: np.hstack([means, parts[PHOTOMETRY]])}
