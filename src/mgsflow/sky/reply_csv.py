"""The rows of a CSV reply, in the form that SkyServer and CasJobs write."""

from __future__ import annotations

import csv
from collections.abc import Container

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from mgsflow.core.errors import UserError
from mgsflow.sky.columns import COLUMNS, FIRST_LINE, NUMBERS, check_header, spelled_as_ours

BLANK = ("", "null", "NULL", "Null", "nan", "NaN", "NAN")  # CasJobs writes null, SkyServer none
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_body(data: bytes, source: str, columns: Container[str] = COLUMNS) -> bytes:
    """The CSV from its header on, without SkyServer's line `#Table1` above it.

    Releases before 12 do not write that line: then some of `columns` must be in the first line,
    which is never true of an error page. Raises UserError otherwise.
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    first, _, body = data.partition(b"\n")
    if first.strip() == FIRST_LINE.encode():
        return body
    if any(name in columns for name in _header(first)):
        return data
    beginning = first.strip()[:80].decode(errors="replace")
    raise UserError(
        f"{source}: not a reply of SkyServer's SQL service: it begins with {beginning!r}, neither "
        f"with {FIRST_LINE} nor with the names of columns. It may be an error page: open it, "
        "remove it and query again."
    )


def read_rows(data: bytes, source: str, columns: list[str] | None = None) -> pd.DataFrame:
    """The rows of a reply, numbers as float64 (exact for integers below 2**53), the rest as text.

    `columns` restricts the columns. Blank fields and `null` are missing. Raises UserError if the
    data are not a reply, lack a column or are truncated.
    """
    body = csv_body(data, source)
    first, _, rows = body.partition(b"\n")
    header = _header(first)
    check_header(header, source)
    included = [name for name in COLUMNS if name in header] if columns is None else columns
    if not rows.strip():
        return pd.DataFrame({name: pd.Series(dtype=_type(name)) for name in included})
    above = data.removeprefix(_BYTE_ORDER_MARK).count(b"\n") - rows.count(b"\n")
    try:
        return _read(rows, header, included, above, source)
    except pa.ArrowInvalid:  # text that is not a number: read all as text; the caller reports it
        return _read(rows, header, included, above, source, numbers=())


def _read(
    rows: bytes,
    header: list[str],
    included: list[str],
    above: int,
    source: str,
    numbers: tuple[str, ...] = tuple(NUMBERS),
) -> pd.DataFrame:
    cut_off: list[arrow_csv.InvalidRow] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        cut_off.append(row)
        return "skip"

    types = {name: pa.float64() if name in numbers else pa.string() for name in included}
    table = arrow_csv.read_csv(
        pa.BufferReader(rows),
        # one thread: with several, line numbers are unknown
        read_options=arrow_csv.ReadOptions(column_names=header, use_threads=False),
        parse_options=arrow_csv.ParseOptions(invalid_row_handler=note),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=included,
            column_types=types,
            null_values=list(BLANK),
            strings_can_be_null=True,
        ),
    )
    if cut_off:
        row = cut_off[0]
        raise UserError(
            f"{source}, line {row.number + above}: {row.actual_columns} fields, not "
            f"{row.expected_columns} as in its header: it was cut off. Remove it and query again."
        )
    return table.to_pandas()


def _header(line: bytes) -> list[str]:
    text = line.decode("utf-8", errors="replace").strip()
    try:
        return spelled_as_ours(next(csv.reader([text]), []))
    except csv.Error:  # damaged: treated as a header without our columns, which is refused
        return []


def _type(name: str) -> str:
    return "float64" if name in NUMBERS else "str"
