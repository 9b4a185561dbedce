"""The test galaxies as both fitters see them: AB fluxes, their errors, and redshifts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import BANDS
from mgsflow.core.seeds import derive_seed, hash_uniform
from mgsflow.core.tables import read_table
from mgsflow.sample.kcorrection import AB_SHIFT, CALIBRATION_ERROR

SET = "test"


@dataclass(frozen=True)
class Observed:
    """Galaxies with all five bands.

    Attributes
    ----------
    objid : (n,) int64
    maggies, errors : ugriz, AB, without the Galaxy's extinction, (n, 5); the photons' errors with
        those of the calibration, CALIBRATION_ERROR, in quadrature
    redshift : (n,), spectroscopic
    """

    objid: np.ndarray
    maggies: np.ndarray
    errors: np.ndarray
    redshift: np.ndarray

    def first(self, count: int) -> Observed:
        """The first `count` of them."""
        return Observed(
            self.objid[:count], self.maggies[:count], self.errors[:count], self.redshift[:count]
        )


def choose(features: Path, selected: Path, asinh_to_ab: bool, seed: int) -> Observed:
    """The test galaxies that have all bands, in the order of a hash of their objid.

    Magnitudes are the flows' own inputs (`features`); errors and redshifts are `selected`'s.
    """
    magnitudes = [f"mag_{band}" for band in BANDS]
    errors = [f"mag_err_{band}" for band in BANDS]
    table = read_table(features, ["objid", "set", *magnitudes])
    table = table.loc[table["set"] == SET, ["objid", *magnitudes]]
    table = table.merge(read_table(selected, ["objid", "redshift", *errors]), on="objid")
    table = table[np.isfinite(table).all(axis=1) & (table[errors] > 0).all(axis=1)]
    if table.empty:
        raise UserError(
            f"{features}: no test galaxy has all of u, g, r, i, z with their errors and a redshift "
            f"in {selected}. Enlarge the sample, or set sed.galaxies to 0."
        )
    objid = table["objid"].to_numpy(np.int64)
    order = np.argsort(hash_uniform(objid, derive_seed(seed, "fit-sed")), kind="stable")
    return _observed(table.iloc[order], magnitudes, errors, asinh_to_ab)


def _observed(
    table: pd.DataFrame, magnitudes: list[str], errors: list[str], asinh_to_ab: bool
) -> Observed:
    ab = table[magnitudes].to_numpy(np.float64) + (AB_SHIFT if asinh_to_ab else 0.0)
    sigma = np.hypot(table[errors].to_numpy(np.float64), CALIBRATION_ERROR)
    maggies = 10 ** (-0.4 * ab)
    return Observed(
        objid=table["objid"].to_numpy(np.int64),
        maggies=maggies,
        errors=0.4 * np.log(10) * maggies * sigma,
        redshift=table["redshift"].to_numpy(np.float64),
    )
