"""Image embedding and photometry, as the baselines and UMAP see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mgsflow.core.photometry import colour_columns, colours, magnitude_column, magnitude_columns
from mgsflow.models.standardise import Standardiser


def common_scale(means: np.ndarray) -> Standardiser:
    """Centres latent means (n, latent) and divides them by the scale of the widest.

    The encoder has set their relative scales, the VAE by its prior. Standardised one by one, the
    dimensions that the KL divergence has switched off, which hold nothing but noise of tiny
    variance, would be as loud as those that hold the image.
    """
    each = Standardiser.fit(means)
    widest = float(np.std(means, axis=0).max())
    return Standardiser(each.mean, np.full_like(each.std, widest if widest > 0 else 1.0))


def photometry_columns(bands: Sequence[str]) -> list[str]:
    """Magnitudes and observed colours of adjacent `bands`."""
    return [*magnitude_columns(bands), *colour_columns(bands)]


def with_colours(table: pd.DataFrame, bands: Sequence[str]) -> pd.DataFrame:
    """`table` with the observed colours of `bands`, out of its magnitudes.

    The flows' features hold only what some variant takes: where all of them take rest-frame
    colours, the observed ones are not there.
    """
    magnitudes = {band: table[magnitude_column(band)] for band in bands}
    return table.assign(**colours(magnitudes, bands))
