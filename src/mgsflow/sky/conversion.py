"""From a catalogue's units to ours: logarithms of linear quantities, velocities to redshifts."""

from __future__ import annotations

import numpy as np
from astropy import constants, units

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import QUANTITIES

_REDSHIFTS = ("redshift", "redshift_err")
_MAGNITUDES = ("mag_", "petro_mag_")


def convert(values: np.ndarray, name: str, theirs: str) -> np.ndarray:
    """`values` in the unit `theirs` (astropy's spelling) as the quantity `name` in our unit.

    A linear unit becomes our dex by the logarithm, NaN where it is not positive; a velocity
    becomes a redshift by z = v / c, as catalogues define cz; a flux in nanomaggies a magnitude,
    m = 22.5 - 2.5 log10 f. Raises UserError where the units do not agree.
    """
    ours = QUANTITIES[name].unit
    try:
        return _convert(values, units.Unit(theirs), name, units.Unit(ours))
    except (ValueError, TypeError, units.UnitConversionError) as error:
        raise UserError(
            f"catalogue.units.{name}: {theirs!r} cannot become our unit {ours or 'one'!r} "
            f"({error}). Leave the key out where the file has our unit."
        ) from None


def _convert(
    values: np.ndarray, theirs: units.UnitBase, name: str, ours: units.UnitBase
) -> np.ndarray:
    if name in _REDSHIFTS and theirs.is_equivalent(units.km / units.s):
        return values * theirs.to(units.m / units.s) / constants.c.value
    if name.startswith(_MAGNITUDES) and theirs.is_equivalent(units.nmgy):
        return 22.5 - 2.5 * _log10(values * theirs.to(units.nmgy))
    if _is_logarithmic(ours) and not _is_logarithmic(theirs):
        return _log10(values * theirs.to(ours.physical_unit))
    return np.asarray((values * theirs).to_value(ours), dtype=np.float64)


def _is_logarithmic(unit: units.UnitBase) -> bool:
    return isinstance(unit, units.function.logarithmic.LogUnit)


def _log10(values: np.ndarray) -> np.ndarray:
    return np.log10(np.where(values > 0, values, np.nan))
