"""Identifiers: exact int64. Identifiers that lost digits are rejected as keys."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import MISSING_IDENTIFIER

_EXACT = 2**53  # a double represents every integer up to here
_LARGEST = 2**63 - 1
_BLANK = ("", "nan", "na", "n/a", "null", "none", "<na>")
_FEW = 3  # so few identifiers may look rounded by chance
_REPEATED = 0.1  # fraction of repeated identifiers above which they are not keys
CATALOGUE_ADVICE = (
    "The digits cannot be recovered. Export the catalogue again with the identifier as an integer "
    "or as text, or give `objid: null` in catalogue.columns to number the rows instead."
)


def read_identifiers(
    column: pd.Series,
    source: str,
    *,
    advice: str = CATALOGUE_ADVICE,
    beyond_is_missing: bool = False,
) -> np.ndarray:
    """int64 identifiers, shape (n,), from integers or text; missing ones (blank, <= 0) are -1.

    No value passes through a float. Raises UserError if a spreadsheet or a float has removed the
    last digits (1.23765E+18), since different galaxies then have the same identifier; `source`
    names the file in the message, and `advice` says what to do. A value beyond int64 is an error as
    well, or -1 if `beyond_is_missing`: SDSS's specobjid has 64 bits without a sign, its objid 63.
    """
    where = f"{source}: column {column.name}"
    if column.dtype.kind in "iu":
        values = column.to_numpy()
    elif column.dtype.kind == "f":
        values = _from_floats(column.to_numpy(), where, advice)
    else:
        values = _from_text(column, where, advice)
    beyond = values > _LARGEST
    if beyond.any() and not beyond_is_missing:
        raise UserError(f"{where}: {values[beyond][0]} is beyond int64, which no objid is.")
    identifiers = np.where(beyond, 0, values).astype(np.int64)
    return np.where(identifiers > 0, identifiers, MISSING_IDENTIFIER)


def refuse_rounded(objid: np.ndarray, source: str, advice: str = CATALOGUE_ADVICE) -> None:
    """Raises UserError if integers were once floats, that is, if floats represent all exactly.

    Near 1.2e18 floats are the multiples of 256, whereas only one in 256 true objids is such a
    multiple. Not for specobjid, whose last ten bits are zero.
    """
    large = objid[objid >= _EXACT]
    if len(large) > _FEW and (large.astype(np.float64).astype(np.int64) == large).all():
        raise UserError(
            f"{source}: all identifiers (the first is {large[0]}) are multiples of a power of two, "
            f"as they are after conversion to a float: digits were lost. {advice}"
        )


def refuse_repeated(identifiers: np.ndarray, source: str) -> None:
    """Raises UserError if too many identifiers are repeated for them to be keys."""
    known = pd.Series(identifiers[identifiers != MISSING_IDENTIFIER])
    repeated = known.duplicated(keep=False)
    if len(known) > _FEW and repeated.mean() > _REPEATED:
        raise UserError(
            f"{source}: {int(repeated.sum())} of {len(known)} rows share their identifier with "
            f"another row (first {known[repeated].iloc[0]}): it is not a key. {CATALOGUE_ADVICE}"
        )


def _from_floats(values: np.ndarray, where: str, advice: str) -> np.ndarray:
    """Small integers stored as floats in a column with gaps; an SDSS objid is never so small."""
    known = np.isfinite(values)
    exact = 2 ** (np.finfo(values.dtype).nmant + 1)
    if (np.abs(values[known]) >= exact).any() or (values[known] % 1 != 0).any():
        example = values[known][0]
        raise UserError(
            f"{where} holds floating-point numbers (the first is {example:.6g}). An SDSS objid has "
            f"19 digits and a float keeps 16: the last ones are lost. {advice}"
        )
    return np.where(known, values, MISSING_IDENTIFIER).astype(np.int64)


def _from_text(column: pd.Series, where: str, advice: str) -> np.ndarray:
    """int64, or Python's integers if a value needs more bits."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    text = text.mask(text.str.lower().isin(_BLANK), str(MISSING_IDENTIFIER))
    good = text.str.fullmatch(r"[+-]?\d+").to_numpy(dtype=bool)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise UserError(
            f"{where}, row {row + 1}: {text.iloc[row]!r} is not an integer. If a spreadsheet or a "
            f"float wrote it like this, its last digits are lost. {advice}"
        )
    values = [max(int(value), MISSING_IDENTIFIER) for value in text]
    return np.array(values, dtype=object if max(values, default=0) > _LARGEST else np.int64)
