"""Checks of galaxies in different sets for shared pixels, positions and magnitudes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.config import Stamps
from mgsflow.core.photometry import bands_in, magnitude_columns
from mgsflow.evaluation.leakage.lines import PASSED, REPORTED, SKIPPED, Line, line
from mgsflow.evaluation.leakage.separation import (
    Shared,
    equal_photometry,
    neighbours,
    overlapping_stamps,
)

VAE_SETS = ("vae_train", "vae_validation")
SAME_PLACE = 2.0  # arcsec; closer objects are one galaxy, detected twice or split by the pipeline


PIXELS, PLACE, LIGHT = "Stamps that share pixels", "Same place", "Equal magnitudes"


def shared_sky(galaxies: pd.DataFrame, stamps: Stamps) -> list[Line]:
    """Pixels, positions and magnitudes that galaxies of different sets share.

    `galaxies` has objid, set and those of ra, dec and mag_* that the catalogue has.
    """
    placed = {"ra", "dec"} <= set(galaxies) and galaxies["ra"].notna().any()
    sets = galaxies["set"].to_numpy()
    if not placed:
        where = "there are no positions"
        rows = [line(check, "test set", verdict=SKIPPED, remark=where) for check in (PIXELS, PLACE)]
    else:
        ra, dec = (galaxies[name].to_numpy(np.float64) for name in ("ra", "dec"))
        rows = _pixels(ra, dec, sets, stamps)
        near = neighbours(ra, dec, SAME_PLACE)
        rows += _pairs(PLACE, near, sets, f"within {SAME_PLACE:g} arcsec")
    return rows + _light(galaxies, sets)


def _pixels(ra: np.ndarray, dec: np.ndarray, sets: np.ndarray, stamps: Stamps) -> list[Line]:
    if stamps.provider == "none":
        return [line(PIXELS, "test set", verdict=SKIPPED, remark="the run has no stamps")]
    side = stamps.size * stamps.pixel_scale
    overlapping = overlapping_stamps(ra, dec, side)
    return _pairs(PIXELS, overlapping, sets, f"stamps of {side:.0f} arcsec")


def _pairs(check: str, shared: Shared, sets: np.ndarray, remark: str) -> list[Line]:
    rows = []
    for subject, one, others in _opposed(sets):
        pairs = shared.between(sets, one, others)
        words = f"{remark}; {len(pairs.pairs)} pairs"
        rows.append(_common(check, subject, sets, one, pairs.galaxies, words))
    return rows


def _light(galaxies: pd.DataFrame, sets: np.ndarray) -> list[Line]:
    columns = magnitude_columns(bands_in(galaxies))
    if not columns:
        return [line(LIGHT, "test set", verdict=SKIPPED, remark="there are no magnitudes")]
    remark = f"to the last digit in {len(columns)} bands, under another objid"
    rows = []
    for subject, one, others in _opposed(sets):
        equal = equal_photometry(galaxies[columns], sets, one, others)
        rows.append(_common(LIGHT, subject, sets, one, len(equal), remark))
    return rows


def _opposed(sets: np.ndarray) -> list[tuple[str, str, tuple[str, ...]]]:
    """Sets that must have nothing in common: a name, one set, and the others."""
    opposed = [
        ("test and training", "test", ("train", "validation")),
        ("validation and training", "validation", ("train",)),
    ]
    if np.isin(sets, VAE_SETS).any():
        opposed.insert(1, ("test and VAE's", "test", VAE_SETS))
    return opposed


def _common(check: str, subject: str, sets: np.ndarray, one: str, count: int, remark: str) -> Line:
    verdict = REPORTED if count else PASSED
    return line(check, subject, int((sets == one).sum()), count, verdict, remark)
