"""The cuts that define the sample, each with its reason and its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.config import Selection
from mgsflow.core.photometry import extinction_column


@dataclass(frozen=True)
class Cut:
    """A cut: the reason for dropping a row, the columns it uses, and the test (n,) to pass."""

    reason: str
    columns: tuple[str, ...]
    passes: Callable[[pd.DataFrame], pd.Series]

    def absent(self, table: pd.DataFrame) -> list[str]:
        """The columns of the cut that `table` lacks."""
        return [name for name in self.columns if name not in table]


def cuts_of(selection: Selection) -> list[Cut]:
    """The cuts of the settings, in order; a row that fails several counts under the first."""
    return [
        *_spectrum_cuts(selection),
        *_photometry_cuts(selection),
        *_redshift_cuts(selection),
        *_brightness_cuts(selection),
    ]


def _spectrum_cuts(selection: Selection) -> list[Cut]:
    cuts = []
    if selection.spectral_class is not None:
        cuts.append(_equal("class", selection.spectral_class, "class is not {}"))
    if selection.good_redshift:
        cuts.append(_equal("z_warning", 0, "zWarning is not {}"))
    if selection.legacy_primary:
        what = "not the legacy survey's primary spectrum (legacyPrimary)"
        cuts.append(_equal("legacy_primary", 1, what))
    if selection.target_bits:
        cuts.append(_target(selection.target_bits))
    if selection.reliable:
        cuts.append(_equal("reliable", 1, "galSpec is not reliable"))
    return cuts


def _photometry_cuts(selection: Selection) -> list[Cut]:
    cuts = []
    if selection.match_radius is not None:
        # bestObjID is the match by flux in release 8 and by position from release 9 on. Where the
        # two differ, the match by flux may be another object arcseconds away. With this cut a
        # spectrum selects the galaxy under its fibre or none, in every release.
        cuts.append(_match(selection.match_radius))
    if selection.clean_photometry:
        cuts.append(_equal("clean", 1, "photometry is not clean"))
    return cuts


def _equal(column: str, value: str | int, reason: str) -> Cut:
    return Cut(reason.format(value), (column,), lambda t: t[column] == value)


def _target(bits: list[int]) -> Cut:
    mask = sum(set(bits))
    return Cut(
        f"not a target of bit {' or '.join(map(str, bits))} (legacy_target1)",
        ("legacy_target1",),
        lambda t: (t["legacy_target1"] & mask) != 0,
    )


def _match(radius: float) -> Cut:
    return Cut(
        f"farther than {radius:g} arcsec from the spectrum's fibre, or without position",
        ("ra", "dec", "fiber_ra", "fiber_dec"),
        lambda t: separation(t["ra"], t["dec"], t["fiber_ra"], t["fiber_dec"]) <= radius,
    )


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
    """Petrosian r, mag, corrected for the Galaxy's extinction if the table has it."""
    extinction = extinction_column("r")
    if extinction not in table:
        return table["petro_mag_r"]
    return table["petro_mag_r"] - table[extinction]


def surface_brightness(table: pd.DataFrame) -> pd.Series:
    """Mean r surface brightness within the half-light radius, mag / arcsec2.

    Half the Petrosian flux over pi R50^2 (Strauss et al. 2002): mu50 = r + 2.5 log10(2 pi R50^2).
    """
    radius = table["petro_r50_r"].where(table["petro_r50_r"] > 0)
    return petrosian_magnitude(table) + 2.5 * np.log10(2 * np.pi * radius**2)


def separation(ra1: pd.Series, dec1: pd.Series, ra2: pd.Series, dec2: pd.Series) -> pd.Series:
    """Great-circle distance in arcsec between positions in degrees, by the haversine formula.

    It takes the sine of half the difference in right ascension, so that 359.9999 and 0.0001 are
    close; and for small angles the sine loses no digits, unlike the cosine of the angle.
    """
    d_ra, d_dec = np.radians(ra2 - ra1) / 2, np.radians(dec2 - dec1) / 2
    product = np.cos(np.radians(dec1)) * np.cos(np.radians(dec2))
    haversine = np.sin(d_dec) ** 2 + product * np.sin(d_ra) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.minimum(haversine, 1.0)))) * 3600
