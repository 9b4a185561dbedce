"""Galaxies of different sets that have more in common than they should: pixels, place, light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

ARCSEC = np.pi / (180 * 3600)  # in radians


@dataclass(frozen=True)
class Shared:
    """Pairs of galaxies, rows (pairs, 2) of the table that they were looked for in."""

    pairs: np.ndarray

    def between(self, sets: np.ndarray, one: str, others: tuple[str, ...]) -> Shared:
        """The pairs of a galaxy of the set `one` with one of a set of `others`, in this order."""
        parts = [
            self.pairs[:, order][
                (sets[self.pairs[:, order[0]]] == one)
                & np.isin(sets[self.pairs[:, order[1]]], others)
            ]
            for order in ([0, 1], [1, 0])
        ]
        return Shared(np.concatenate(parts))

    @property
    def galaxies(self) -> int:
        """How many galaxies stand first in a pair."""
        return len(np.unique(self.pairs[:, 0]))


def overlapping_stamps(ra: np.ndarray, dec: np.ndarray, side: float) -> Shared:
    """Pairs of galaxies whose stamps, squares of `side` arcsec with north up, share pixels.

    `ra` and `dec` (n,) are in degrees; a galaxy without a position is in no pair. The squares are
    taken for plane, which is true to a pixel farther than some minutes from the poles.
    """
    near = neighbours(ra, dec, side * np.sqrt(2))
    first, second = near.pairs.T
    east = (ra[first] - ra[second] + 180) % 360 - 180
    east = east * np.cos(np.radians((dec[first] + dec[second]) / 2))
    north = dec[first] - dec[second]
    apart = np.maximum(np.abs(east), np.abs(north)) * 3600
    return Shared(near.pairs[apart < side])


def neighbours(ra: np.ndarray, dec: np.ndarray, radius: float) -> Shared:
    """Pairs of galaxies within `radius` arcsec of each other on the sphere."""
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    longitude, latitude = np.radians(ra[placed]), np.radians(dec[placed])
    across = np.cos(latitude)
    points = np.stack(
        [across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=1
    )
    chord = 2 * np.sin(radius * ARCSEC / 2)
    return Shared(placed[cKDTree(points).query_pairs(chord, output_type="ndarray").reshape(-1, 2)])


def equal_photometry(
    magnitudes: pd.DataFrame, sets: np.ndarray, one: str, others: tuple[str, ...]
) -> np.ndarray:
    """Rows of the set `one` with the magnitudes, to the last digit, of a galaxy of `others`.

    `magnitudes` has a column a band; a galaxy that lacks one equals nobody.
    """
    group = magnitudes.groupby(list(magnitudes), sort=False, dropna=True).ngroup().to_numpy()
    theirs = np.unique(group[np.isin(sets, others)])
    return np.flatnonzero((sets == one) & (group >= 0) & np.isin(group, theirs))
