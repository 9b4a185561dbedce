"""Parquet tables whose columns carry unit and description."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.quantities import QUANTITIES, Quantity


def write_table(
    path: Path,
    table: pd.DataFrame,
    quantities: Iterable[Quantity] = (),
    notes: Mapping[str, object] | None = None,
) -> None:
    """Write `table` as Parquet, each column with its unit and description in its metadata.

    Columns named in `core.quantities` describe themselves; `quantities` describes any others.
    `notes` (JSON) travels with the file: see `read_notes`.
    """
    known = QUANTITIES | {quantity.name: quantity for quantity in quantities}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = []
    for field in arrow.schema:
        quantity = known.get(field.name)
        if quantity is not None:
            field = field.with_metadata(
                {"unit": quantity.unit, "description": quantity.description}
            )
        fields.append(field)
    # pandas' own metadata is left out: it holds library versions, which would change the bytes
    metadata = {"mgsflow": json.dumps(dict(notes or {}), sort_keys=True)}
    with atomic_path(path) as temporary:
        pq.write_table(arrow.cast(pa.schema(fields, metadata=metadata)), temporary)


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote; `columns` limits what is read.

    Raises UserError where the file is not there, is not Parquet, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the stage that makes it first.") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error}). Remove it and rerun.") from None
    with file:
        absent = sorted(set(columns or ()) - set(file.schema_arrow.names))
        if absent:
            raise UserError(
                f"{path}: no column {', '.join(absent)}; it has {file.schema_arrow.names}"
            )
        return file.read(columns=columns).to_pandas()


def read_quantities(path: Path) -> list[Quantity]:
    """Name, unit and description of the columns of a table that `write_table` has described."""
    described = [field for field in pq.read_schema(path) if field.metadata]
    return [
        Quantity(
            field.name,
            field.metadata[b"unit"].decode(),
            field.metadata[b"description"].decode(),
        )
        for field in described
    ]


def read_notes(path: Path) -> dict:
    """The notes that `write_table` put into the file."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(b"mgsflow", b"{}"))
