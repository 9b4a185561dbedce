"""The stage that selects the sample's galaxies, each cut counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.config import Catalogue, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.progress import say
from mgsflow.core.quantities import QUANTITIES
from mgsflow.core.seeds import derive_seed, hash_uniform
from mgsflow.core.tables import write_table
from mgsflow.sample.cuts import Cut, cuts_of
from mgsflow.sky.catalogue import INTEGERS, read_catalogue
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

    A cut on a column that the catalogue lacks is skipped, and said to be. `out` has one row a
    galaxy in our names and units, sorted by objid, which for SDSS is the order of run, camcol and
    field; `dropped` the others with their reasons.
    """
    table, ledger = _read(sky, reply, source, catalogue)
    table = _cut(table, ledger, cuts_of(selection))
    table = _one_row_a_galaxy(table, ledger)
    table = _choose(table, ledger, selection.sample_size, seed)
    ledger.write(dropped, len(table))
    write_table(out, _canonical(table))
    say(f"select: {len(table)} galaxies of {ledger.came} rows")


def _read(
    sky: str, reply: Path | None, source: Path | None, catalogue: Catalogue
) -> tuple[pd.DataFrame, Ledger]:
    if sky == "catalogue":
        return read_catalogue(catalogue, source or Path(catalogue.path))
    if reply is None:
        raise UserError(f"--reply: with `sky: {sky}` name the folder of SkyServer's reply.")
    table = read_reply(reply)
    return table, Ledger("select", len(table))


def _cut(table: pd.DataFrame, ledger: Ledger, cuts: list[Cut]) -> pd.DataFrame:
    """The rows that pass every cut; a row that fails several is counted under the first."""
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
    """One row each: of several spectra of a galaxy the one with the least specobjid stays."""
    table = ledger.keep(table, table["objid"] > 0, "it has no identifier (objid)")
    order = [name for name in ("objid", "specobjid") if name in table]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    return ledger.keep(table, ~table["objid"].duplicated(), "another row has the same objid")


def _choose(
    table: pd.DataFrame, ledger: Ledger, sample_size: int | None, seed: int
) -> pd.DataFrame:
    """The galaxies with the least hashes: a choice that no order of arrival can change."""
    if sample_size is None or len(table) <= sample_size:
        return table
    uniform = hash_uniform(table["objid"].to_numpy(), derive_seed(seed, "select"))
    rank = pd.Series(uniform).rank(method="first")
    return ledger.keep(table, rank <= sample_size, f"beyond {sample_size} (selection.sample_size)")


def _canonical(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that later stages read, in the order of our vocabulary."""
    table = table[[name for name in QUANTITIES if name in table]]
    whole = [name for name in INTEGERS if name in table and table[name].notna().all()]
    return table.astype(dict.fromkeys(whole, "int64"))
