"""What makes a galaxy one of the sample: the cuts, each with its reason and its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.config import Selection

# Bits of legacy_target1: GALAXY, GALAXY_BIG, GALAXY_BRIGHT_CORE (Strauss et al. 2002)
MAIN_SAMPLE = 64 | 128 | 256


@dataclass(frozen=True)
class Cut:
    """Why a row leaves, the columns that tell, and the test (n,) that a good row passes."""

    reason: str
    columns: tuple[str, ...]
    passes: Callable[[pd.DataFrame], pd.Series]

    def absent(self, table: pd.DataFrame) -> list[str]:
        """The columns that `table` lacks, without which the cut cannot be made."""
        return [name for name in self.columns if name not in table]


def cuts_of(selection: Selection) -> list[Cut]:
    """All cuts, in the order in which a row that fails several is counted."""
    return [*_spectrum_cuts(), *_redshift_cuts(selection), *_brightness_cuts(selection)]


def _spectrum_cuts() -> list[Cut]:
    return [
        Cut("class is not GALAXY", ("class",), lambda t: t["class"] == "GALAXY"),
        Cut("zWarning is not 0", ("z_warning",), lambda t: t["z_warning"] == 0),
        Cut(
            "not the legacy survey's primary spectrum (legacyPrimary)",
            ("legacy_primary",),
            lambda t: t["legacy_primary"] == 1,
        ),
        Cut(
            "not a target of the Main Galaxy Sample (legacy_target1)",
            ("legacy_target1",),
            lambda t: (t["legacy_target1"] & MAIN_SAMPLE) != 0,
        ),
        Cut("galSpec is not reliable", ("reliable",), lambda t: t["reliable"] == 1),
        Cut("photometry is not clean", ("clean",), lambda t: t["clean"] == 1),
    ]


def _redshift_cuts(selection: Selection) -> list[Cut]:
    low, high = selection.redshift_min, selection.redshift_max
    columns = ("redshift",)
    return [
        Cut("redshift is missing", columns, lambda t: t["redshift"].notna()),
        Cut(f"redshift is below {low:g}", columns, lambda t: t["redshift"] >= low),
        Cut(f"redshift is above {high:g}", columns, lambda t: t["redshift"] <= high),
    ]


def _brightness_cuts(selection: Selection) -> list[Cut]:
    cuts = []
    faintest, dimmest = selection.petro_mag_r_max, selection.surface_brightness_max
    if faintest is not None:
        cuts += [
            Cut(
                "Petrosian r is missing",
                ("petro_mag_r",),
                lambda t: petrosian_magnitude(t).notna(),
            ),
            Cut(
                f"Petrosian r is fainter than {faintest:g}",
                ("petro_mag_r",),
                lambda t: petrosian_magnitude(t) <= faintest,
            ),
        ]
    if dimmest is not None:
        cuts.append(
            Cut(
                f"surface brightness in r is fainter than {dimmest:g} or missing",
                ("petro_mag_r", "petro_r50_r"),
                lambda t: surface_brightness(t) <= dimmest,
            )
        )
    return cuts


def petrosian_magnitude(table: pd.DataFrame) -> pd.Series:
    """Petrosian r, mag, without the Galaxy's extinction where the table has that."""
    if "extinction_r" not in table:
        return table["petro_mag_r"]
    return table["petro_mag_r"] - table["extinction_r"]


def surface_brightness(table: pd.DataFrame) -> pd.Series:
    """Mean r surface brightness within the half-light radius, mag / arcsec2.

    Half the Petrosian flux over pi R50^2 (Strauss et al. 2002): mu50 = r + 2.5 log10(2 pi R50^2).
    """
    radius = table["petro_r50_r"].where(table["petro_r50_r"] > 0)
    return petrosian_magnitude(table) + 2.5 * np.log10(2 * np.pi * radius**2)
