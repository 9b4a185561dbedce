"""Your own catalogue, FITS, CSV or Parquet, in our names and units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import constants, units
from astropy.table import Table

from mgsflow.config import Catalogue
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.quantities import QUANTITIES
from mgsflow.sky.reply import parse_identifiers

INTEGERS = ("run", "rerun", "camcol", "field")


def read_catalogue(catalogue: Catalogue, path: Path) -> tuple[pd.DataFrame, Ledger]:
    """The catalogue's rows in our names and units, NaN where missing, and the ledger of its cuts.

    Rows that `catalogue.where` excludes are dropped and counted. Raises UserError where the file
    cannot be read, lacks a column, has identifiers that lost their digits, or units that do not
    turn into ours.
    """
    raw = _read(path, catalogue.format)
    _check_columns(raw, catalogue, path)
    table = pd.DataFrame({"objid": _identifiers(raw, catalogue, path)})
    for name, column in catalogue.columns.items():
        if name != "objid" and column is not None:
            table[name] = _quantity(raw[column], name, catalogue, path)
    ledger = Ledger("select", len(table))
    good = {column: _where(raw[column], bounds) for column, bounds in catalogue.where.items()}
    for column, mask in good.items():
        here = mask.reindex(table.index)
        index = table.index[here]
        table = ledger.keep(table, here, f"{column} is not {_spell(catalogue.where[column])}")
        table.index = index  # the next condition is on the rows of the file
    return table.reset_index(drop=True), ledger


def _read(path: Path, kind: str) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: no such file (catalogue.path).")
    try:
        if kind == "csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
        if kind == "fits":
            return _from_fits(path)
        return pq.read_table(path).to_pandas(integer_object_nulls=True)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as {kind} ({error}). Set catalogue.format to what it is."
        ) from None


def _from_fits(path: Path) -> pd.DataFrame:
    table = Table.read(path, format="fits")
    flat = [name for name in table.colnames if table[name].ndim == 1]
    frame = {}
    for name in flat:
        column = table[name]
        values = np.ma.getdata(column)
        values = values.astype(values.dtype.newbyteorder("="))
        frame[name] = np.char.decode(values) if values.dtype.kind == "S" else values
    return pd.DataFrame(frame)


def _check_columns(raw: pd.DataFrame, catalogue: Catalogue, path: Path) -> None:
    wanted = [column for column in catalogue.columns.values() if column is not None]
    absent = sorted({*wanted, *catalogue.where} - set(raw.columns))
    if absent:
        raise UserError(
            f"{path}: no column {', '.join(absent)} (catalogue.columns or catalogue.where). It "
            f"has: {', '.join(map(str, raw.columns))}."
        )
    if "objid" not in catalogue.columns:
        raise UserError(
            "catalogue.columns.objid: name the column of the identifiers, or write `objid: null` "
            "to number the rows."
        )


def _identifiers(raw: pd.DataFrame, catalogue: Catalogue, path: Path) -> np.ndarray:
    """int64 identifiers; the rows' numbers, from 1, where the catalogue has none."""
    column = catalogue.columns["objid"]
    if column is None:
        return np.arange(1, len(raw) + 1, dtype=np.int64)
    values = raw[column]
    if values.dtype.kind == "f":
        raise UserError(
            f"{path}: column {column} holds floating-point numbers. An SDSS objid has 19 digits "
            "and a float keeps 16: the last are lost, and different galaxies share what is left. "
            "Export the catalogue again with integers, or give `objid: null` in catalogue.columns "
            "to number the rows instead."
        )
    if values.dtype.kind in "iu":
        return values.to_numpy(np.int64)
    return parse_identifiers(values, str(path)).to_numpy()


def _quantity(column: pd.Series, name: str, catalogue: Catalogue, path: Path) -> np.ndarray:
    """A column in our unit, float64, NaN where missing."""
    values = _numbers(column, path)
    values[np.isin(values, catalogue.missing)] = np.nan
    if name in INTEGERS:
        return values
    theirs = catalogue.units.get(name)
    return values if theirs is None else convert(values, name, theirs)


def _numbers(column: pd.Series, path: Path) -> np.ndarray:
    text = column.astype(str).str.strip()
    try:
        blank = text.isin(["", "NA", "N/A", "null", "None", "<NA>"])
        return pd.to_numeric(text.mask(blank, "nan")).to_numpy(np.float64, copy=True)
    except ValueError as error:
        raise UserError(f"{path}: column {column.name} is not numeric: {error}.") from None


def convert(values: np.ndarray, name: str, theirs: str) -> np.ndarray:
    """`values` in the unit `theirs` (astropy's spelling) as the quantity `name` in our unit.

    A linear unit becomes our dex by the logarithm (NaN where not positive); a velocity becomes a
    redshift by z = v/c, as catalogues' cz is defined. Raises UserError where they do not agree.
    """
    try:
        source = units.Unit(theirs)
        if name == "redshift" and source.is_equivalent(units.km / units.s):
            return (values * source / constants.c).to_value(units.dimensionless_unscaled)
        ours = units.Unit(QUANTITIES[name].unit)
        if isinstance(ours, units.function.logarithmic.DexUnit) and not isinstance(
            source, units.function.logarithmic.LogUnit
        ):
            linear = (values * source).to_value(ours.physical_unit)
            return np.log10(np.where(linear > 0, linear, np.nan))
        return (values * source).to_value(ours)
    except (ValueError, TypeError, units.UnitConversionError) as error:
        raise UserError(
            f"catalogue.units.{name}: {theirs!r} cannot become our unit "
            f"{QUANTITIES[name].unit or 'one'!r} ({error})."
        ) from None


def _where(column: pd.Series, bounds: list[str] | list[float]) -> pd.Series:
    if isinstance(bounds[0], str):
        return column.astype(str).str.strip().isin(bounds)
    low, high = float(bounds[0]), float(bounds[-1])
    return pd.to_numeric(column, errors="coerce").between(low, high)


def _spell(bounds: list[str] | list[float]) -> str:
    if isinstance(bounds[0], str):
        return " or ".join(map(str, bounds))
    return f"from {bounds[0]:g} to {bounds[-1]:g}"
