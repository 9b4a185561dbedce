"""The stage that cuts the stamps of one shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Catalogue, Sdss, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.progress import track
from mgsflow.core.tables import read_table
from mgsflow.sample.cutting import Cut, FrameCutter, Provider
from mgsflow.sample.frames import LocalFrames, SasFrames
from mgsflow.sample.image_files import FileStamps
from mgsflow.sample.shards import ShardWriter
from mgsflow.sky.fields import FIELD_COLUMNS, shard_of_fields


def stamps(
    *,
    selected: Path,
    shard: int,
    stamps: Stamps,
    sky: str,
    sdss: Sdss,
    catalogue: Catalogue,
    frames: Path | None = None,
    out: Path,
    dropped: Path,
) -> None:
    """Cut the stamps of one shard of the selected galaxies, north up and east left.

    With `stamps.provider` `frames` they are cut from the corrected frames below the folder
    `frames` or, without it and with `sky` `sdss`, from those of SDSS's Science Archive Server.
    With `files` they are read from `catalogue.stamp_folder`. A shard may be empty.
    """
    galaxies = _of_shard(_read_positions(selected, stamps), shard, stamps)
    provider = _provider(stamps, sky, sdss, catalogue, frames)
    ledger = Ledger(f"stamps-{shard:03d}", len(galaxies))
    with ShardWriter(out, provider.layout) as writer:
        cuts = track(provider.cut(galaxies), f"stamps {shard:03d}", len(galaxies))
        _write_cuts(cuts, writer, ledger)
    ledger.write(dropped, len(writer), allow_empty=True)


def _read_positions(selected: Path, stamps: Stamps) -> pd.DataFrame:
    if stamps.provider == "files":
        return read_table(selected, ["objid"])
    return read_table(selected, ["objid", "ra", "dec", *FIELD_COLUMNS])


def _write_cuts(cuts: Iterable[Cut], writer: ShardWriter, ledger: Ledger) -> None:
    refused: dict[str, list[int]] = defaultdict(list)
    padded = 0
    for cut in cuts:
        if cut.stamp is None:
            refused[cut.reason].append(cut.objid)
        else:
            writer.add(cut.objid, cut.stamp)
            padded += cut.padded
    ledger.note("stamps across their field's edge, filled with 0", padded)
    for reason, objid in sorted(refused.items()):
        ledger.drop(np.array(objid, dtype=np.int64), reason)


def _of_shard(galaxies: pd.DataFrame, shard: int, stamps: Stamps) -> pd.DataFrame:
    """The galaxies of shard number `shard`: contiguous runs of fields, or of objid."""
    if not 0 <= shard < stamps.shards:
        raise UserError(f"--shard {shard}: stamps.shards is {stamps.shards}, counted from 0.")
    if stamps.provider == "files":
        rank = np.argsort(np.argsort(galaxies["objid"].to_numpy(np.int64)))
        of = rank * stamps.shards // max(len(galaxies), 1)
    else:
        of = shard_of_fields(galaxies, stamps.shards).to_numpy()
    return galaxies[of == shard].reset_index(drop=True)


def _provider(
    stamps: Stamps, sky: str, sdss: Sdss, catalogue: Catalogue, frames: Path | None
) -> Provider:
    if stamps.provider == "files":
        return FileStamps(catalogue, stamps)
    if stamps.provider == "none":
        raise UserError("stamps.provider is `none`: there are no stamps to cut.")
    if frames is not None:
        return FrameCutter(LocalFrames(frames), stamps)
    if sky == "sdss":
        return FrameCutter(SasFrames(sdss), stamps)
    raise UserError(f"--frames: with `sky: {sky}` name the folder that holds the frames.")
