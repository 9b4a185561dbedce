"""Conversion of a catalogue's units to ours, including logarithms, and velocities to redshifts."""

from __future__ import annotations

import numpy as np
from astropy import constants, units

from mgsflow.core.errors import UserError
from mgsflow.core.photometry import MAGNITUDE
from mgsflow.core.quantities import QUANTITIES

_REDSHIFTS = ("redshift", "redshift_err")
_MAGNITUDES = (MAGNITUDE, "petro_mag_")


def convert(
    values: np.ndarray, name: str, theirs: str, quantity: np.ndarray | None = None
) -> np.ndarray:
    """`values` in the unit `theirs` (astropy's spelling) as the quantity `name` in our unit.

    The logarithm of a value in a linear unit gives our dex, NaN where it is not positive. A
    velocity becomes a redshift by z = v / c, as catalogues define cz; a flux in nanomaggies becomes
    a magnitude, m = 22.5 - 2.5 log10 f. A linear error becomes that of the logarithm to first
    order, sigma / x: `quantity` has the values, in our unit, of the quantity whose error `name` is
    (`value_of`). Raises UserError if the units are incompatible, or if an error lacks its values.
    """
    ours = QUANTITIES[name].unit
    try:
        return _convert(values, units.Unit(theirs), name, units.Unit(ours), quantity)
    except (ValueError, TypeError, units.UnitConversionError) as error:
        raise UserError(
            f"catalogue.units.{name}: {theirs!r} cannot be converted to our unit {ours or 'one'!r} "
            f"({error}). Leave the key out if the file has our unit."
        ) from None


def value_of(name: str) -> str | None:
    """The logarithm or magnitude whose error `name` is; None if it is not such an error."""
    of = QUANTITIES[name].error_of
    return of if of and QUANTITIES[of].is_logarithmic else None


def _convert(
    values: np.ndarray,
    theirs: units.UnitBase,
    name: str,
    ours: units.UnitBase,
    quantity: np.ndarray | None,
) -> np.ndarray:
    of = value_of(name)
    if of and not theirs.is_equivalent(ours):
        return _error_of_logarithm(values, theirs, name, of, quantity)
    if name in _REDSHIFTS and theirs.is_equivalent(units.km / units.s):
        return values * theirs.to(units.m / units.s) / constants.c.value
    if not of and name.startswith(_MAGNITUDES) and theirs.is_equivalent(units.nmgy):
        return 22.5 - 2.5 * _log10(values * theirs.to(units.nmgy))
    if _is_logarithmic(ours) and not _is_logarithmic(theirs):
        return _log10(values * theirs.to(ours.physical_unit))
    return np.asarray((values * theirs).to_value(ours), dtype=np.float64)


def _error_of_logarithm(
    errors: np.ndarray, theirs: units.UnitBase, name: str, of: str, quantity: np.ndarray | None
) -> np.ndarray:
    """The error of `of`, a magnitude or dex, from the error of its linear quantity."""
    is_magnitude = of.startswith(_MAGNITUDES)
    linear = units.nmgy if is_magnitude else units.Unit(QUANTITIES[of].unit).physical_unit
    sigma = errors * theirs.to(linear)
    if quantity is None:
        raise UserError(
            f"catalogue.units.{name}: to convert an error in {theirs} to one of {of}, the value it "
            f"belongs to is needed. Name the column of {of} in catalogue.columns as well."
        )
    value = 10 ** ((22.5 - quantity) / 2.5 if is_magnitude else quantity)
    return (2.5 if is_magnitude else 1.0) / np.log(10) * sigma / value


def _is_logarithmic(unit: units.UnitBase) -> bool:
    return isinstance(unit, units.function.logarithmic.LogUnit)


def _log10(values: np.ndarray) -> np.ndarray:
    return np.log10(np.where(values > 0, values, np.nan))
