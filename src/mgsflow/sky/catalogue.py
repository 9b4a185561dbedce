"""Reading of your own catalogue, FITS, CSV or Parquet, into our names and units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Catalogue
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.quantities import QUANTITIES, READABLE, Role
from mgsflow.sky.conversion import convert, value_of
from mgsflow.sky.files import read_file
from mgsflow.sky.identifiers import read_identifiers, refuse_repeated, refuse_rounded

INTEGERS = tuple(
    name
    for name, quantity in QUANTITIES.items()
    if quantity.role == Role.IDENTIFIER and name != "objid"
)
_BLANK = ("", "nan", "na", "n/a", "null", "none", "<na>")


def read_catalogue(catalogue: Catalogue, path: Path) -> tuple[pd.DataFrame, Ledger]:
    """The catalogue's rows in our names and units, NaN where missing, and the ledger of its cuts.

    Rows that `catalogue.where` excludes are dropped and counted in the ledger, which is that of
    the stage `select`. Raises UserError if the file cannot be read, lacks a column, or has
    identifiers that lost digits or units that cannot be converted into ours.
    """
    raw = read_file(path, catalogue.format)
    _check_columns(list(raw), catalogue, path)
    ledger = Ledger("select", len(raw))
    table = pd.DataFrame({"objid": _identifiers(raw, catalogue, path)})
    columns = {n: c for n, c in catalogue.columns.items() if n != "objid" and c is not None}
    for name in sorted(columns, key=lambda name: value_of(name) is not None):  # errors last
        table[name] = _quantity(raw[columns[name]], name, table, catalogue, path, ledger)
    table = table[["objid", *columns]]
    return _filter(table, raw, catalogue, path, ledger), ledger


def _check_columns(present: list[str], catalogue: Catalogue, path: Path) -> None:
    if "objid" not in catalogue.columns:
        raise UserError(
            "catalogue.columns.objid: name the column of the identifiers, or write `objid: null` "
            "to number the rows."
        )
    derived = sorted(set(catalogue.columns) - set(READABLE))
    if derived:
        sources = dict.fromkeys(of for name in derived for of in QUANTITIES[name].derived_from)
        raise UserError(
            f"catalogue.columns: {', '.join(derived)} cannot be read, since mgsflow derives it. "
            f"Name the columns that it is derived from: {', '.join(sources)}."
        )
    strange = sorted(set(catalogue.units) - set(catalogue.columns))
    if strange:
        raise UserError(
            f"catalogue.units names {', '.join(strange)}, which catalogue.columns does not."
        )
    names = {column for column in catalogue.columns.values() if column is not None}
    absent = sorted((names | set(catalogue.where)) - set(present))
    if absent:
        raise UserError(
            f"{path}: no column {', '.join(absent)}, which catalogue.columns or catalogue.where "
            f"names. It has: {', '.join(map(str, present))}."
        )


def _identifiers(raw: pd.DataFrame, catalogue: Catalogue, path: Path) -> np.ndarray:
    """int64 identifiers; the row numbers, from 1, if the catalogue has none."""
    column = catalogue.columns["objid"]
    if column is None:
        return np.arange(1, len(raw) + 1, dtype=np.int64)
    identifiers = read_identifiers(raw[column], str(path))
    refuse_rounded(identifiers, f"{path}: column {column}")
    refuse_repeated(identifiers, f"{path}: column {column}")
    return identifiers


def _quantity(
    column: pd.Series,
    name: str,
    table: pd.DataFrame,
    catalogue: Catalogue,
    path: Path,
    ledger: Ledger,
) -> np.ndarray:
    """A column in our unit, float64, NaN where missing; values without a logarithm are counted.

    `table` has the quantities read so far, in our units, as an error may be relative to one.
    """
    values = _numbers(column, path)
    values[np.isin(values, catalogue.missing) | np.isinf(values)] = np.nan
    if name not in catalogue.units:
        return values
    of = value_of(name)
    known = table[of].to_numpy() if of in table else None
    converted = convert(values, name, catalogue.units[name], known)
    if of:
        return converted  # missing where its quantity is missing, which was counted there
    lost = np.isfinite(values) & ~np.isfinite(converted)
    ledger.note(f"{name} not positive in the catalogue, without a logarithm: missing", lost.sum())
    return converted


def _numbers(column: pd.Series, path: Path) -> np.ndarray:
    """A float64 copy; blank or null text is NaN. Raises UserError if a text is not a number."""
    if column.dtype.kind in "fiub":
        return column.to_numpy(np.float64, copy=True)
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    numbers = pd.to_numeric(text, errors="coerce")
    strange = numbers.isna() & ~text.str.lower().isin(_BLANK)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise UserError(
            f"{path}: column {column.name}, row {row + 1}: {text.iloc[row]!r} is not a number. "
            "Name a column of numbers in catalogue.columns, or leave the quantity out."
        )
    return numbers.to_numpy(np.float64, copy=True)


def _filter(
    table: pd.DataFrame, raw: pd.DataFrame, catalogue: Catalogue, path: Path, ledger: Ledger
) -> pd.DataFrame:
    """The rows that satisfy every condition of `catalogue.where`."""
    remaining = np.arange(len(table))
    for name, admitted in catalogue.where.items():
        good = _admits(raw[name].iloc[remaining], admitted, path)
        ledger.drop(table["objid"].to_numpy()[remaining[~good]], _reason(name, admitted))
        remaining = remaining[good]
    return table.iloc[remaining].reset_index(drop=True)


def _admits(column: pd.Series, admitted: list[str] | list[float], path: Path) -> np.ndarray:
    if all(isinstance(value, str) for value in admitted) and admitted:
        return column.astype(str).str.strip().isin(admitted).to_numpy()
    if len(admitted) != 2:
        raise UserError(
            f"catalogue.where.{column.name}: {admitted} is neither a list of texts nor a minimum "
            "and a maximum."
        )
    numbers = _numbers(column, path)
    return (numbers >= float(admitted[0])) & (numbers <= float(admitted[1]))


def _reason(name: str, admitted: list[str] | list[float]) -> str:
    if isinstance(admitted[0], str):
        return f"{name} is not {' or '.join(map(str, admitted))} (catalogue.where)"
    return f"{name} is not within {admitted[0]:g} to {admitted[1]:g} (catalogue.where)"
