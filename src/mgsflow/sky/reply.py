"""SkyServer's reply, from the service, from CasJobs or from the simulated sky, in our names."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Container
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.utils.exceptions import AstropyUserWarning

from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, sha256
from mgsflow.sky.columns import (
    COLUMNS,
    GAPPY_INTEGERS,
    IDENTIFIERS,
    MEDIANS,
    PERCENTILES,
    REALS,
    TEXTS,
    check_header,
    spelled_as_ours,
)
from mgsflow.sky.files import read_fits
from mgsflow.sky.identifiers import read_identifiers, refuse_rounded
from mgsflow.sky.reply_csv import BLANK, csv_body, read_rows

MISSING = (-9999.0, -1000.0)  # galSpec's and the photometry's
COUNT_FILE = "count.json"  # beside the chunks of a query: their total number of rows
_GZIP, _FITS = b"\x1f\x8b", b"SIMPLE"
_DAMAGE = "(?s).*(truncated|corrupted)"  # damage of which astropy only warns
_ADVICE = (
    "The digits cannot be recovered. Download the result again, and do not save it with a "
    "spreadsheet."
)


def read_reply(path: Path) -> pd.DataFrame:
    """The reply at `path` in one table with our names; a missing value is NaN.

    It is a folder of chunk-*.csv, or one file of all rows that was downloaded by hand: CSV, plain
    or gzipped, or FITS. Identifiers are int64, never converted to a float; missing ones are -1, and
    so is a specobjid beyond int64 (plates from 8192 on). Raises UserError if a file is not a reply
    to our query (such as an HTML or error page), is truncated, or lacks a column, or if a chunk was
    changed or is missing. If whole rows are missing from a single file, that cannot be detected.
    """
    path = Path(path)
    table = _read_file(path) if path.is_file() else _read_chunks(path)
    refuse_rounded(table["objid"].to_numpy(), f"{path}: column objid", _ADVICE)
    return table


def parse_reply(text: str, source: str) -> pd.DataFrame:
    """One reply of SkyServer to our query, from its text; `source` names it in errors."""
    return _in_our_names(read_rows(text.encode(), source), source)


def reply_body(text: str, source: str, columns: Container[str] = COLUMNS) -> str:
    """The CSV of a reply from its header on, if it has `columns`: see csv_body."""
    return csv_body(text.encode(), source, columns).decode()


def specobjids(text: str, source: str) -> list[int]:
    """The specobjid of each row, unchanged and of any size: chunks are queried by it."""
    column = read_rows(text.encode(), source, ["specobjid"])["specobjid"]
    if column.isna().any():
        raise UserError(f"{source}: a row has no specobjid.")
    return [int(value) for value in column]


def _read_chunks(folder: Path) -> pd.DataFrame:
    chunks = sorted(folder.glob("chunk-*.csv"))
    if not chunks:
        raise UserError(f"{folder}: holds no chunk-*.csv. Remove the folder and query again.")
    for path in chunks:
        digest = path.with_suffix(".sha256")
        if digest.is_file() and digest.read_text() != sha256(path):
            raise UserError(
                f"{path}: changed since its download. Remove the folder and query again."
            )
    parts = [_in_our_names(read_rows(path.read_bytes(), str(path)), str(path)) for path in chunks]
    table = pd.concat(parts, ignore_index=True)
    counted = folder / COUNT_FILE
    rows = read_json(counted)["rows"] if counted.is_file() else len(table)
    if rows != len(table):
        raise UserError(
            f"{folder}: {len(table)} rows, of {rows} that SkyServer counted: a chunk is missing. "
            "Remove the folder and query again."
        )
    return table


def _read_file(path: Path) -> pd.DataFrame:
    """A result that was downloaded by hand; its first bytes show its format."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}). Download it again.") from None
    rows = _fits_rows(data, path) if data.startswith(_FITS) else read_rows(data, str(path))
    if rows.empty:
        raise UserError(f"{path}: holds no rows. Download it again (sdss.reply_file).")
    return _in_our_names(rows, str(path))


def _fits_rows(data: bytes, path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", _DAMAGE, AstropyUserWarning)
            rows = read_fits(io.BytesIO(data))
    except (OSError, ValueError, TypeError, AstropyUserWarning) as error:
        raise UserError(f"{path}: cannot be read as FITS ({error}). Download it again.") from None
    rows.columns = spelled_as_ours(rows.columns)
    check_header(list(rows.columns), str(path))
    return rows


def _in_our_names(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    columns = {ours: _convert(rows[name], source) for name, ours in COLUMNS.items() if name in rows}
    return _with_errors(pd.DataFrame(columns))


def _with_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the 16th and 84th percentiles by an error: half the difference between them."""
    for name in MEDIANS.values():
        low, high = f"{name}_p16", f"{name}_p84"
        if low in table and high in table:
            table[f"{name}_err"] = (table[high] - table[low]) / 2
    return table.drop(columns=list(PERCENTILES.values()), errors="ignore")


def _convert(column: pd.Series, source: str) -> pd.Series | np.ndarray:
    name = str(column.name)
    if name in TEXTS:
        return column.str.strip()
    if name in IDENTIFIERS:
        return read_identifiers(
            column, source, advice=_ADVICE, beyond_is_missing=name == "specobjid"
        )
    numbers = _numbers(column, source)
    if name in REALS:
        return numbers.mask(numbers.isin(MISSING))
    wrong = numbers % 1 != 0  # true of NaN as well
    if name in GAPPY_INTEGERS:
        wrong &= numbers.notna()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"{source}: column {name}, row {row + 1}: {numbers[row]} is not an integer."
        )
    return numbers if name in GAPPY_INTEGERS else numbers.astype(np.int64)


def _numbers(column: pd.Series, source: str) -> pd.Series:
    """float64 numbers. Raises UserError that names the first text that is not a number."""
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    known = column.notna() & ~column.isin(BLANK)
    numbers = pd.to_numeric(column.where(known), errors="coerce").astype(np.float64)
    wrong = known & numbers.isna()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"{source}: column {column.name}, row {row + 1}: {column.iloc[row]!r} is not a number. "
            "Remove the file and the run's checkpoints/query-sdss, and query again."
        )
    return numbers
