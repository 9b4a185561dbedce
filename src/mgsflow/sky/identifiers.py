"""Identifiers: int64, digit by digit. Those that lost their digits are refused as keys."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import MISSING_IDENTIFIER

_EXACT = 2**53  # up to here a double holds every integer
_LARGEST = 2**63 - 1
_BLANK = ("", "nan", "na", "n/a", "null", "none", "<na>")
_FEW = 3  # so many identifiers may end in what looks like a float's zeros by chance
_REPEATED = 0.1  # share of repeated identifiers above which they are no keys
_ADVICE = (
    "The digits cannot be had back. Export the catalogue again with the identifier as an integer "
    "or as text, or give `objid: null` in catalogue.columns to number the rows instead."
)


def read_identifiers(column: pd.Series, source: str) -> np.ndarray:
    """int64 identifiers, shape (n,), of integers or of text; none (blank, <= 0) is -1.

    Nothing passes through a float. Raises UserError where a spreadsheet or a float has taken the
    last digits (1.23765E+18), since different galaxies then share what is left; `source` names the
    file in it.
    """
    where = f"{source}: column {column.name}"
    if column.dtype.kind in "iu":
        if len(column) and int(column.max()) > _LARGEST:
            raise UserError(f"{where}: {column.max()} is beyond int64, which no objid is.")
        identifiers = column.to_numpy(np.int64)
    elif column.dtype.kind == "f":
        identifiers = _from_floats(column.to_numpy(), where)
    else:
        identifiers = _from_text(column, where)
    return np.where(identifiers > 0, identifiers, MISSING_IDENTIFIER)


def refuse_rounded(objid: np.ndarray, source: str) -> None:
    """Raises UserError where integers were floats before, and are all a float's neighbours.

    Near 1.2e18 those are the multiples of 256, which of true objids one in 256 is. Not for
    specobjid, whose last ten bits are zero.
    """
    large = objid[objid >= _EXACT]
    if len(large) > _FEW and (large.astype(np.float64).astype(np.int64) == large).all():
        raise UserError(
            f"{source}: all identifiers (the first is {large[0]}) are multiples of a power of two, "
            f"as a float leaves them: they went through one. {_ADVICE}"
        )


def refuse_repeated(identifiers: np.ndarray, source: str) -> None:
    """Raises UserError where so many identifiers are repeated that they are no keys."""
    known = pd.Series(identifiers[identifiers != MISSING_IDENTIFIER])
    repeated = known.duplicated(keep=False)
    if len(known) > _FEW and repeated.mean() > _REPEATED:
        raise UserError(
            f"{source}: {int(repeated.sum())} of {len(known)} rows share their identifier with "
            f"another row (first {known[repeated].iloc[0]}): it is no key. {_ADVICE}"
        )


def _from_floats(values: np.ndarray, where: str) -> np.ndarray:
    """Small integers that a table with gaps holds as floats; an SDSS objid is never so small."""
    known = np.isfinite(values)
    exact = 2 ** (np.finfo(values.dtype).nmant + 1)
    if (np.abs(values[known]) >= exact).any() or (values[known] % 1 != 0).any():
        example = values[known][0]
        raise UserError(
            f"{where} holds floating-point numbers (the first is {example:.6g}). An SDSS objid has "
            f"19 digits and a float keeps 16: the last ones are lost. {_ADVICE}"
        )
    return np.where(known, values, MISSING_IDENTIFIER).astype(np.int64)


def _from_text(column: pd.Series, where: str) -> np.ndarray:
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    text = text.mask(text.str.lower().isin(_BLANK), str(MISSING_IDENTIFIER))
    good = text.str.fullmatch(r"[+-]?\d+").to_numpy(dtype=bool)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise UserError(
            f"{where}, row {row + 1}: {text.iloc[row]!r} is not an integer. Where a spreadsheet or "
            f"a float wrote it so, its last digits are lost. {_ADVICE}"
        )
    values = [int(value) for value in text]
    if values and max(values) > _LARGEST:
        raise UserError(f"{where}: {max(values)} is beyond int64, which no objid is.")
    return np.array(values, dtype=np.int64)
