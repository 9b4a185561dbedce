"""The account of the galaxies that left the sample: at each stage, came = kept + dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import read_notes, read_table, write_table

COLUMNS = (
    Quantity("stage", "", "Stage at which the galaxy left the sample"),
    Quantity("reason", "", "Why it left"),
)


class Ledger:
    """Records the galaxies that a stage drops, by reason, in a file beside the stage's output.

    Each entry is also logged at once, unless `quiet`.
    """

    def __init__(self, stage: str, came: int, quiet: bool = False) -> None:
        self.stage = stage
        self.came = came
        self._say = (lambda text: None) if quiet else say
        self._parts: list[pd.DataFrame] = []
        self._noted: dict[str, int] = {}

    def drop(self, objid: np.ndarray | pd.Series, reason: str) -> None:
        """Record the galaxies `objid` as dropped for `reason`. An empty list makes no entry."""
        ids = np.asarray(objid, dtype=np.int64)
        if len(ids):
            part = pd.DataFrame({"objid": ids, "stage": self.stage, "reason": reason})
            self._parts.append(part)
            self._say(f"{self.stage}: dropped {len(ids)} of {self.came}: {reason}")

    def keep(self, table: pd.DataFrame, good: np.ndarray | pd.Series, reason: str) -> pd.DataFrame:
        """The rows of `table` where `good`; the others are dropped for `reason`."""
        mask = np.asarray(good, dtype=bool)
        self.drop(table["objid"].to_numpy()[~mask], reason)
        return table.loc[mask].reset_index(drop=True)

    def note(self, what: str, count: int) -> None:
        """Count changes that lose no galaxy, such as clipped fluxes."""
        if count:
            self._noted[what] = self._noted.get(what, 0) + int(count)
            self._say(f"{self.stage}: {what}: {count}")

    @property
    def dropped(self) -> int:
        return sum(len(part) for part in self._parts)

    def write(self, path: Path, kept: int, *, allow_empty: bool = False) -> None:
        """Write the entries. Raises AssertionError if came is not kept + dropped, which is a bug.

        Raises UserError if no galaxy is left, unless `allow_empty`: one shard of many may be empty.
        """
        if self.came != kept + self.dropped:
            raise AssertionError(
                f"{self.stage}: {self.came} galaxies came, {kept} were kept and {self.dropped} "
                "dropped: the account does not add up"
            )
        empty = pd.DataFrame(
            {
                "objid": np.empty(0, np.int64),
                "stage": pd.Series(dtype=str),
                "reason": pd.Series(dtype=str),
            }
        )
        entries = pd.concat(self._parts, ignore_index=True) if self._parts else empty
        notes = {"stage": self.stage, "came": self.came, "kept": kept, "noted": self._noted}
        write_table(path, entries, COLUMNS, notes)
        if kept == 0 and not allow_empty:
            reasons = entries["reason"].value_counts().to_dict()
            raise UserError(
                f"{self.stage}: no galaxy is left of {self.came}. Dropped: {reasons or 'none'}. "
                "Relax the settings that these reasons name, or use another sample."
            )


def read_account(path: Path) -> tuple[pd.DataFrame, dict]:
    """The entries of a ledger's file, and its totals: stage, came, kept, noted."""
    return read_table(path), read_notes(path)
