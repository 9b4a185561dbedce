"""The test galaxies in the form that both fitters use: AB fluxes, their errors, and redshifts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.photometry import error_columns, magnitude_columns
from mgsflow.core.seeds import hash_order
from mgsflow.core.surveys import SDSS
from mgsflow.core.tables import read_table
from mgsflow.sample.kcorrection import ab_magnitudes, with_calibration

SET = "test"


@dataclass(frozen=True)
class Observed:
    """Galaxies that are measured in all bands of the template fits.

    Attributes
    ----------
    objid : (n,) int64
    maggies, errors : AB, corrected for the Galaxy's extinction, (n, bands); the errors are those
        of photon noise and of the calibration in quadrature
    redshift : (n,), spectroscopic
    """

    objid: np.ndarray
    maggies: np.ndarray
    errors: np.ndarray
    redshift: np.ndarray

    def first(self, count: int) -> Observed:
        """The first `count` galaxies."""
        return Observed(
            self.objid[:count], self.maggies[:count], self.errors[:count], self.redshift[:count]
        )


def choose(features: Path, selected: Path, asinh_to_ab: bool, seed: int) -> Observed:
    """The test galaxies measured in all bands, in the order of a hash of their objid.

    Magnitudes are the flows' own inputs (`features`); errors and redshifts are from `selected`.
    """
    bands = [band.name for band in SDSS.fitted_bands]
    magnitudes, errors = magnitude_columns(bands), error_columns(bands)
    table = read_table(features, ["objid", "set", *magnitudes])
    table = table.loc[table["set"] == SET, ["objid", *magnitudes]]
    table = table.merge(read_table(selected, ["objid", "redshift", *errors]), on="objid")
    table = table[np.isfinite(table).all(axis=1) & (table[errors] > 0).all(axis=1)]
    if table.empty:
        raise UserError(
            f"{features}: no test galaxy has all of {', '.join(bands)} with their errors and a "
            f"redshift in {selected}. Enlarge the sample, or set sed.galaxies to 0."
        )
    order = hash_order(table["objid"].to_numpy(np.int64), seed, "fit-sed")
    return _observed(table.iloc[order], magnitudes, errors, asinh_to_ab)


def _observed(
    table: pd.DataFrame, magnitudes: list[str], errors: list[str], asinh_to_ab: bool
) -> Observed:
    measured, bands = table[magnitudes].to_numpy(np.float64), SDSS.fitted_bands
    ab = ab_magnitudes(measured, asinh_to_ab, bands)
    sigma = with_calibration(table[errors].to_numpy(np.float64), bands)
    maggies = 10 ** (-0.4 * ab)
    return Observed(
        objid=table["objid"].to_numpy(np.int64),
        maggies=maggies,
        errors=0.4 * np.log(10) * maggies * sigma,
        redshift=table["redshift"].to_numpy(np.float64),
    )
