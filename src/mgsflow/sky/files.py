"""Reading of a table from a file of your own, unchanged: FITS, CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, Table

from mgsflow.core.errors import UserError
from mgsflow.sky.columns import FIRST_LINE


def read_file(path: Path, kind: str) -> pd.DataFrame:
    """The columns of `path`, a file of `kind` "fits", "csv" or "parquet".

    Integers stay integers even if values are missing, and CSV stays text, so that identifiers lose
    no digit; columns of arrays are left out. Raises UserError if the file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file. See catalogue.path.")
    try:
        table = {"csv": _read_csv, "fits": read_fits, "parquet": _read_parquet}[kind](path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as {kind} ({error}). Set catalogue.format to its format."
        ) from None
    if table.empty:
        raise UserError(f"{path}: holds no rows.")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as stream:
        first = stream.readline()
        if first.strip() != FIRST_LINE:  # SkyServer and CasJobs put it above the header
            stream.seek(0)
        return pd.read_csv(stream, dtype=str, keep_default_na=False, skipinitialspace=True)


def _read_parquet(path: Path) -> pd.DataFrame:
    # the metadata that pandas writes would restore its nullable types
    return pq.read_table(path).to_pandas(integer_object_nulls=True, ignore_metadata=True)


def read_fits(path: Path | BinaryIO) -> pd.DataFrame:
    """The columns of a FITS table, plain or gzipped, unchanged, without columns of arrays."""
    table = Table.read(path, format="fits", character_as_bytes=False)
    flat = [name for name in table.colnames if table[name].ndim == 1]
    return pd.DataFrame({name: _plain(table[name]) for name in flat})


def _plain(column: MaskedColumn) -> np.ndarray:
    """A FITS column in the machine's byte order; a masked value is None, or NaN in real columns."""
    mask = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    values = values.astype(values.dtype.newbyteorder("="))
    if not mask.any():
        return values
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values)
    return np.where(mask, None, values.astype(object))
