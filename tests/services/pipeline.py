"""The product's stages on the loopback services: the way from SkyServer to shards of stamps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from loopback import Loopback

from mgsflow.config import Catalogue, Network, Selection, Stamps
from mgsflow.core.files import sha256
from mgsflow.core.ledger import read_account
from mgsflow.sample.select import select
from mgsflow.sample.shards import ShardReader
from mgsflow.sample.stamps import stamps as make_stamps
from mgsflow.sky.query_sdss import query_sdss

SELECTION = Selection(sample_size=None)


@dataclass(frozen=True)
class Run:
    """A folder with the results of the stages below."""

    folder: Path
    server: Loopback

    def query(self, network: Network | None = None) -> None:
        query_sdss(
            sdss=self.server.settings(),
            network=network or self.server.network(),
            selection=SELECTION,
            partial=self.folder / "partial/query",
            out=self.folder / "reply",
        )

    def select(self, selection: Selection = SELECTION) -> pd.DataFrame:
        select(
            reply=self.folder / "reply",
            sky="sdss",
            catalogue=Catalogue(),
            selection=selection,
            seed=1,
            out=self.folder / "selected.parquet",
            dropped=self.folder / "dropped-select.parquet",
        )
        return self.table

    def stamps(
        self, settings: Stamps, shard: int = 0, threads: int = 2, network: Network | None = None
    ) -> ShardReader:
        make_stamps(
            selected=self.folder / "selected.parquet",
            shard=shard,
            stamps=settings,
            sky="sdss",
            sdss=self.server.settings(),
            network=network or self.server.network(),
            catalogue=Catalogue(),
            partial=self.folder / f"partial/stamps-{shard}",
            downloads=self.folder / "downloads",
            threads=threads,
            out=self.shard(shard),
            dropped=self.dropped(shard),
        )
        return ShardReader(self.shard(shard))

    @property
    def table(self) -> pd.DataFrame:
        """The selected galaxies."""
        return pd.read_parquet(self.folder / "selected.parquet")

    def shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:03d}.h5"

    def dropped(self, number: int) -> Path:
        return self.folder / f"dropped-{number:03d}.parquet"

    def account(self, number: int = 0) -> tuple[pd.DataFrame, dict]:
        """The galaxies that a shard dropped, and its totals, which must add up."""
        entries, totals = read_account(self.dropped(number))
        assert totals["came"] == totals["kept"] + len(entries)
        assert totals["kept"] == len(ShardReader(self.shard(number)))
        return entries, totals

    def digest(self, shards: int = 1) -> list[str]:
        """Of all that the stages wrote, to the bit."""
        numbers = range(shards)
        paths = [self.folder / "selected.parquet", self.folder / "dropped-select.parquet"]
        paths += [path for n in numbers for path in (self.shard(n), self.dropped(n))]
        return [sha256(path) for path in paths if path.exists()]
