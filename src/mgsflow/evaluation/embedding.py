"""The image embedding, as UMAP and the baselines see it: the VAE's latent means."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mgsflow.models.inputs import latent_columns
from mgsflow.models.standardise import Standardiser


def embedding_columns(available: Iterable[str]) -> list[str]:
    """The columns of the latent means among `available`, by their number; none without images."""
    return [name for name in latent_columns(available) if name.startswith("latent_mean_")]


def common_scale(means: np.ndarray) -> Standardiser:
    """Centres latent means (n, latent) and divides them by the scale of the widest.

    The VAE's prior has set their relative scales. Standardised one by one, the dimensions that
    the KL divergence has switched off, which hold nothing but noise of tiny variance, would be as
    loud as those that hold the image.
    """
    each = Standardiser.fit(means)
    widest = float(np.std(means, axis=0).max())
    return Standardiser(each.mean, np.full_like(each.std, widest if widest > 0 else 1.0))
