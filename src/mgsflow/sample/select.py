"""The stage that selects the sample's galaxies and counts each cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Catalogue, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.progress import say
from mgsflow.core.quantities import MISSING_IDENTIFIER, QUANTITIES
from mgsflow.core.seeds import hash_order
from mgsflow.core.tables import write_table
from mgsflow.sample.cuts import Cut, cuts_of
from mgsflow.sky.catalogue import INTEGERS, read_catalogue
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.reply import read_reply


def select(
    *,
    reply: Path | None = None,
    source: Path | None = None,
    sky: str,
    catalogue: Catalogue,
    selection: Selection,
    seed: int,
    out: Path,
    dropped: Path,
) -> None:
    """Select the sample's galaxies from SkyServer's `reply`, or from your own catalogue `source`.

    `reply` is the folder of its chunks, or a file with all rows that you downloaded. A cut on a
    column that the catalogue lacks is skipped, which is reported. `out` has one row per galaxy in
    our names and units, sorted by objid, which for SDSS is the order of run, camcol and field;
    `dropped` has the other galaxies with their reasons.
    """
    table, ledger = _read(sky, reply, source, catalogue)
    table = _cut(table, ledger, cuts_of(selection))
    table = _one_row_a_galaxy(table, ledger)
    table = _choose(table, ledger, selection, seed)
    ledger.write(dropped, len(table))
    write_table(out, _canonical(table))
    say(f"select: {len(table)} galaxies of {ledger.came} rows")


def _read(
    sky: str, reply: Path | None, source: Path | None, catalogue: Catalogue
) -> tuple[pd.DataFrame, Ledger]:
    if sky == "catalogue":
        return read_catalogue(catalogue, source or Path(catalogue.path))
    if reply is None:
        raise UserError(f"--reply: with `sky: {sky}` name SkyServer's reply.")
    table = read_reply(reply)
    return table, Ledger("select", len(table))


def _cut(table: pd.DataFrame, ledger: Ledger, cuts: list[Cut]) -> pd.DataFrame:
    """The rows that pass every cut; a row that fails several counts under the first."""
    skipped = [cut for cut in cuts if cut.absent(table)]
    for cut in cuts:
        if cut not in skipped:
            table = ledger.keep(table, cut.passes(table), cut.reason)
    columns = sorted({name for cut in skipped for name in cut.absent(table)})
    if columns:
        what = f"{len(skipped)} cuts skipped, since there is no {', '.join(columns)}"
        ledger.note(what, len(table))
    return table


def _one_row_a_galaxy(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """One row per galaxy; of several spectra the one with the lowest specobjid is kept."""
    table = ledger.keep(table, table["objid"] > 0, "it has no identifier (objid)")
    order = [name for name in ("objid", "specobjid", "redshift") if name in table]
    keys = table[order]
    if "specobjid" in keys:  # a missing one was too large for int64
        known = keys["specobjid"] != MISSING_IDENTIFIER
        keys = keys.assign(specobjid=keys["specobjid"].where(known, np.iinfo(np.int64).max))
    table = table.loc[keys.sort_values(order, kind="stable").index].reset_index(drop=True)
    return ledger.keep(table, ~table["objid"].duplicated(), "another row has the same objid")


def _choose(table: pd.DataFrame, ledger: Ledger, selection: Selection, seed: int) -> pd.DataFrame:
    """The first `sample_size` galaxies in an order that depends only on their identity.

    The order is that of a seeded hash of objid. With `sample_by` field it is that of a hash of the
    field, and of the hash of objid within a field: fields are complete except the last.
    """
    size = selection.sample_size
    if size is None or len(table) <= size:
        return table
    if selection.sample_by == "field":
        table = _in_a_field(table, ledger)
    order = hash_order(table["objid"].to_numpy(), seed, "select")
    if selection.sample_by == "field":
        field = _field_numbers(table)[order]
        order = order[hash_order(field, seed, "select", "field")]
    chosen = np.zeros(len(table), dtype=bool)
    chosen[order[:size]] = True
    return ledger.keep(table, chosen, f"beyond {size} (selection.sample_size)")


def _in_a_field(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    absent = [name for name in FIELD_COLUMNS if name not in table]
    if absent:
        raise UserError(
            f"selection.sample_by is `field`, and there is no column {', '.join(absent)}. Name it "
            "in catalogue.columns, or set selection.sample_by to `galaxy`."
        )
    known = table[FIELD_COLUMNS].notna().all(axis=1)
    return ledger.keep(table, known, "it has no field (run, camcol, field)")


def _field_numbers(table: pd.DataFrame) -> np.ndarray:
    """One number per field: int64, shape (n,)."""
    run, camcol, field = (table[name].to_numpy(np.int64) for name in FIELD_COLUMNS)
    return (run << 40) | (camcol << 32) | field


def _canonical(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that later stages read, in the order of the vocabulary of quantities."""
    table = table[[name for name in QUANTITIES if name in table]]
    whole = [name for name in INTEGERS if name in table and table[name].notna().all()]
    return table.astype(dict.fromkeys(whole, "int64"))
