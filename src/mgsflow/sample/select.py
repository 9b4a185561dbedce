"""The stage that selects the sample's galaxies, each cut counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Catalogue, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.progress import say
from mgsflow.core.quantities import QUANTITIES
from mgsflow.core.seeds import hash_uniform
from mgsflow.core.tables import write_table
from mgsflow.sky.catalogue import read_catalogue
from mgsflow.sky.reply import read_reply

# Bits of legacy_target1: GALAXY, GALAXY_BIG, GALAXY_BRIGHT_CORE (Strauss et al. 2002)
MAIN_SAMPLE = 64 | 128 | 256


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
    galaxy, sorted by objid, in our names and units; `dropped` the others with their reasons.
    """
    if sky == "catalogue":
        table, ledger = read_catalogue(catalogue, source or Path(catalogue.path))
    elif reply is None:
        raise UserError(f"--reply: with `sky: {sky}` name the folder of SkyServer's reply")
    else:
        table = read_reply(reply)
        ledger = Ledger("select", len(table))
    for reason, columns, test in cuts(selection):
        table = _cut(table, ledger, reason, columns, test)
    table = _one_row_a_galaxy(table, ledger)
    table = _choose(table, ledger, selection.sample_size, seed)
    table = table.sort_values("objid", ignore_index=True)
    ledger.write(dropped, len(table))
    write_table(out, table[[name for name in QUANTITIES if name in table]])
    say(f"select: {len(table)} galaxies of {ledger.came} rows")


def cuts(selection: Selection) -> Iterator[tuple[str, list[str], object]]:
    """Each cut: why a row leaves, the columns it looks at, and the test that a good row passes."""
    yield "spectrum is not a galaxy's", ["class"], lambda t: t["class"] == "GALAXY"
    yield "redshift warning", ["z_warning"], lambda t: t["z_warning"] == 0
    yield "not the primary legacy spectrum", ["legacy_primary"], lambda t: t["legacy_primary"] == 1
    yield (
        "not a main-sample target",
        ["legacy_target1"],
        lambda t: (t["legacy_target1"].fillna(0).astype(np.int64) & MAIN_SAMPLE) != 0,
    )
    yield "spectrum's measurements not reliable", ["reliable"], lambda t: t["reliable"] == 1
    yield "photometry not clean", ["clean"], lambda t: t["clean"] == 1
    low, high = selection.redshift_min, selection.redshift_max
    yield "redshift missing", ["redshift"], lambda t: t["redshift"].notna()
    yield f"redshift below {low}", ["redshift"], lambda t: t["redshift"] >= low
    yield f"redshift above {high}", ["redshift"], lambda t: t["redshift"] <= high
    if (limit := selection.petro_mag_r_max) is not None:
        yield (
            f"Petrosian r fainter than {limit} or missing",
            ["petro_mag_r", "extinction_r"],
            lambda t: t["petro_mag_r"] - t["extinction_r"] <= limit,
        )
    if (limit_mu := selection.surface_brightness_max) is not None:
        yield (
            f"r surface brightness fainter than {limit_mu} or missing",
            ["petro_mag_r", "extinction_r", "petro_r50_r"],
            lambda t: surface_brightness(t) <= limit_mu,
        )


def surface_brightness(table: pd.DataFrame) -> pd.Series:
    """Mean r surface brightness within the half-light radius, mag / arcsec2, dereddened.

    Half the Petrosian flux over pi R50^2 (Strauss et al. 2002).
    """
    radius = table["petro_r50_r"].where(table["petro_r50_r"] > 0)
    magnitude = table["petro_mag_r"] - table["extinction_r"]
    return magnitude + 2.5 * np.log10(2 * np.pi * radius**2)


def _cut(
    table: pd.DataFrame, ledger: Ledger, reason: str, columns: list[str], test: object
) -> pd.DataFrame:
    absent = [name for name in columns if name not in table]
    if absent:
        say(f"select: no cut `{reason}`: the catalogue has no {', '.join(absent)}")
        return table
    return ledger.keep(table, test(table), reason)  # type: ignore[operator]


def _one_row_a_galaxy(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Of several spectra of one galaxy the one with the least specobjid stays."""
    order = [name for name in ("objid", "specobjid") if name in table]
    table = table.sort_values(order, ignore_index=True)
    table = ledger.keep(table, table["objid"] != 0, "no photometric object (objid 0)")
    return ledger.keep(table, ~table["objid"].duplicated(), "another row of the same objid")


def _choose(
    table: pd.DataFrame, ledger: Ledger, sample_size: int | None, seed: int
) -> pd.DataFrame:
    """The galaxies with the least hashes, a choice that no order of arrival can change."""
    if sample_size is None or len(table) <= sample_size:
        return table
    rank = pd.Series(hash_uniform(table["objid"].to_numpy(), seed)).rank(method="first")
    return ledger.keep(table, rank <= sample_size, "beyond selection.sample_size")
