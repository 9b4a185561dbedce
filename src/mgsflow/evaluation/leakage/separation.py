"""Pairs of galaxies in different sets that share pixels, position or magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

ARCSEC = np.pi / (180 * 3600)  # in radians


@dataclass(frozen=True)
class Shared:
    """Pairs of galaxies, (pairs, 2), as row numbers of the table in which they were searched."""

    pairs: np.ndarray

    def between(self, sets: np.ndarray, one: str, others: tuple[str, ...]) -> Shared:
        """The pairs of a galaxy in the set `one` and a galaxy in one of the sets `others`."""
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
        """Number of different galaxies that are first in a pair."""
        return len(np.unique(self.pairs[:, 0]))


def overlapping_stamps(ra: np.ndarray, dec: np.ndarray, side: float) -> Shared:
    """Pairs of galaxies whose stamps, squares of `side` arcsec with north up, share pixels.

    `ra` and `dec` (n,) are in degrees; a galaxy without a position is in no pair. The squares are
    treated as plane, which is accurate to a pixel farther than a few arcminutes from the poles.
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
    """Rows in the set `one` whose magnitudes equal, to the last digit, those of one in `others`.

    `magnitudes` has one column per band; a galaxy with a missing magnitude equals no other.
    """
    group = magnitudes.groupby(list(magnitudes), sort=False, dropna=True).ngroup().to_numpy()
    theirs = np.unique(group[np.isin(sets, others)])
    return np.flatnonzero((sets == one) & (group >= 0) & np.isin(group, theirs))
