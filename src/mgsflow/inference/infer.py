"""Posteriors of any number of galaxies, from a table on disk to draws on disk.

Neither is ever wholly in memory: the table is read block by block, and the draws of each block are
written before the next block is processed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mgsflow.config import Compute, parse
from mgsflow.core.disk import refuse_without_room
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.progress import say, track
from mgsflow.core.tabular import Tabular
from mgsflow.posterior.base import CHUNK_NUMBERS, MOST_NUMBERS
from mgsflow.posterior.posterior import Posterior
from mgsflow.training.loop import choose_device

_CHECKED_AT_ONCE = 65_536
# Bytes of each column read at once. By default Arrow reads whole columns of a row group, and keeps
# them all until the file is closed.
_READ_AT_ONCE = 2**20
IDENTIFIER = "objid"
_LARGEST = np.iinfo(np.int64).max  # largest identifier that the output's column can hold
_NAMED_ROWS = 5  # number of faulty rows that an error names


def infer(
    *,
    galaxies: Path,
    models: Path,
    out: Path,
    variant: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Sample the joint posteriors of the galaxies in a table, and write the draws block by block.

    --galaxies is a Parquet file with the columns that the models were trained on, and objid if the
    galaxies have one. --models is a run's folder, results/RUN or results/RUN/flows, with --variant
    if it holds several. --out is HDF5: `draws` (n, draws, targets) float32, in the targets' own
    units; `out_of_distribution_score` (n,), in nats, above 0 for galaxies unlike the training
    set's; and `objid` (n,). The attributes name targets, units, variant and seed. Memory does not
    grow with the number of galaxies. --device is cpu, cuda or auto, which uses a GPU if there is
    one.
    """
    if draws < 1:
        raise UserError(f"--draws must be 1 or more, not {draws}")
    torch.set_num_threads(threads)
    compute = parse(Compute, json.dumps({"device": device}), "infer --device")
    posterior = Posterior.load(models, variant=variant).to(choose_device(compute))
    if draws * len(posterior.targets) > MOST_NUMBERS:
        most = MOST_NUMBERS // len(posterior.targets)
        raise UserError(f"--draws must be {most} or less, which is 8 GiB per galaxy, not {draws}")
    table = _Table(galaxies, posterior)
    refuse_without_room(out, 4 * len(table) * draws * len(posterior.targets))
    size = max(1, CHUNK_NUMBERS // (draws * len(posterior.targets)))
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        _describe(file, posterior, seed)
        shape = (len(table), draws, len(posterior.targets))
        written = file.create_dataset("draws", shape, np.float32)
        scores = file.create_dataset("out_of_distribution_score", (len(table),), np.float32)
        if table.named:
            names = file.create_dataset(IDENTIFIER, (len(table),), np.int64)
        total = -(-len(table) // size)
        for start, block in track(table.blocks(size), f"infer: blocks of {size} galaxies", total):
            rows = slice(start, start + len(block))
            written[rows] = posterior.sample(block, draws, seed, first_row=start)
            scores[rows] = posterior.out_of_distribution_score(block)
            if table.named:
                names[rows] = block[IDENTIFIER].to_numpy(np.int64)
    say(f"infer: {len(table)} galaxies, {draws} draws each, of {', '.join(posterior.targets)}")


def _describe(file: h5py.File, posterior: Posterior, seed: int) -> None:
    file.attrs["targets"] = json.dumps(posterior.targets)
    file.attrs["units"] = json.dumps(posterior.units)
    file.attrs["variant"] = posterior.variant
    file.attrs["seed"] = seed


class _Table:
    """The galaxies of a Parquet file, with one block at a time in memory.

    Raises UserError at once, and not after an hour of sampling, if the file cannot be read, if a
    column is absent or not numeric, or if a value is missing.
    """

    def __init__(self, path: Path, posterior: Posterior) -> None:
        self._path, self._inputs = path, posterior.inputs
        try:
            with pq.ParquetFile(path) as file:
                self._length = file.metadata.num_rows
                schema = file.schema_arrow
        except FileNotFoundError:
            raise UserError(f"--galaxies {path}: no such file.") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(
                f"--galaxies {path}: not a readable Parquet file ({error}). Convert other formats "
                "with pandas or astropy: Table.read('galaxies.fits').write('galaxies.parquet')."
            ) from None
        absent = [name for name in self._inputs if name not in schema.names]
        if absent:
            raise UserError(
                f"--galaxies {path}: no column {', '.join(absent)}; the models of "
                f"{posterior.variant} need {', '.join(self._inputs)}."
            )
        self.named = IDENTIFIER in schema.names
        self._check(schema)

    def __len__(self) -> int:
        return self._length

    def blocks(self, size: int) -> Iterator[tuple[int, pd.DataFrame]]:
        """Blocks of `size` rows, fewer in the last, each with the number of its first row."""
        columns = [*self._inputs, *([IDENTIFIER] if self.named else [])]
        start = 0
        with pq.ParquetFile(self._path, pre_buffer=False, buffer_size=_READ_AT_ONCE) as file:
            for batch in file.iter_batches(size, columns=columns):
                yield start, batch.to_pandas()
                start += batch.num_rows

    def _check(self, schema: pa.Schema) -> None:
        if not self._length:
            raise UserError(f"--galaxies {self._path}: has no rows.")
        if self.named and not pa.types.is_integer(schema.field(IDENTIFIER).type):
            raise UserError(
                f"--galaxies {self._path}: {IDENTIFIER} is {schema.field(IDENTIFIER).type}, not an "
                "integer: as a float it loses its last digits. Store it as int64, or leave it "
                "out; the galaxies stay in the table's order."
            )
        for start, block in self.blocks(_CHECKED_AT_ONCE):
            what = f"--galaxies {self._path}, from row {start} on"
            Tabular(block, self._inputs, what).refuse_missing()
            if self.named and block[IDENTIFIER].isna().any():
                raise UserError(f"{what}: rows without {IDENTIFIER}. Remove them or the column.")
            if self.named:
                self._refuse_large(start, block[IDENTIFIER])

    def _refuse_large(self, start: int, identifiers: pd.Series) -> None:
        """Raise UserError for unsigned integers that would become negative as int64."""
        rows = start + np.flatnonzero(identifiers > _LARGEST)
        if len(rows):
            first = ", ".join(map(str, rows[:_NAMED_ROWS]))
            more = ", ..." if len(rows) > _NAMED_ROWS else ""
            raise UserError(
                f"--galaxies {self._path}: {IDENTIFIER} of rows {first}{more} is above "
                f"2**63 - 1 = {_LARGEST}, which int64 cannot hold. Store identifiers that fit, or "
                "leave the column out; the galaxies stay in the table's order."
            )
