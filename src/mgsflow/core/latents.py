"""Names of the latents, the columns that an image encoder computes from a stamp.

Only this module defines which columns of a table are latents. There are two families: the means
are the representation of the stamp, which every encoder has; the standard deviations are the
uncertainties of the means, which some encoders do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LATENT = "latent_"
LATENT_MEAN, LATENT_STD = f"{LATENT}mean_", f"{LATENT}std_"
LATENT_COLUMN = re.compile(rf"({LATENT_MEAN}|{LATENT_STD})\d+")


def mean_column(number: int) -> str:
    """The mean of latent dimension `number`, counted from 0: latent_mean_00."""
    return f"{LATENT_MEAN}{number:02d}"


def std_column(number: int) -> str:
    """The standard deviation of latent dimension `number`: latent_std_00."""
    return f"{LATENT_STD}{number:02d}"


def is_latent(name: str) -> bool:
    """Whether a column is a latent."""
    return name.startswith(LATENT)


def latent_columns(available: Iterable[str]) -> list[str]:
    """All latents among `available`: means, then standard deviations, each sorted by number."""
    names = list(available)
    return [*_family(names, LATENT_MEAN), *_family(names, LATENT_STD)]


def latent_means(available: Iterable[str]) -> list[str]:
    """The latent means among `available`, sorted by number; an empty list without images."""
    return _family(available, LATENT_MEAN)


def _family(names: Iterable[str], prefix: str) -> list[str]:
    own = [name for name in names if name.startswith(prefix)]
    return sorted(own, key=lambda name: int(name.removeprefix(prefix)))
