"""The stage that makes the stamps of one shard's galaxies."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Catalogue, Network, Sdss, Stamps
from mgsflow.core.code import code_digest
from mgsflow.core.errors import UserError
from mgsflow.core.files import remove
from mgsflow.core.fingerprint import fingerprint
from mgsflow.core.ledger import Ledger
from mgsflow.core.memory import return_large_blocks
from mgsflow.core.progress import track
from mgsflow.core.tables import read_table
from mgsflow.sample.cutouts import CutoutProvider, JpegCutouts, LegacyCutouts
from mgsflow.sample.cutting import FrameCutter
from mgsflow.sample.frames import LocalFrames, sas_frames
from mgsflow.sample.image_files import FileStamps
from mgsflow.sample.provider import Batch, Cut, Provider
from mgsflow.sample.shards import create_shard
from mgsflow.sample.spool import Spool
from mgsflow.sky.fields import FIELD_COLUMNS, shard_of_fields


def stamps(
    *,
    selected: Path,
    shard: int,
    stamps: Stamps,
    sky: str,
    sdss: Sdss,
    network: Network,
    catalogue: Catalogue,
    frames: Path | None = None,
    partial: Path,
    downloads: Path,
    threads: int = 1,
    out: Path,
    dropped: Path,
) -> None:
    """Make the stamps of one shard of the selected galaxies, north up and east left.

    The setting `stamps.provider` selects their source. With `frames` they are cut from the
    corrected frames in the folder `frames` or, without it, from those of SDSS's Science Archive
    Server; with `legacy` and `jpeg` they come from a cutout service, with `files` from
    `catalogue.stamp_folder`. A shard may be empty. Finished stamps are kept in the folder `partial`
    until the shard is complete, so that a killed job continues where it stopped. With
    `network.keep_downloads` downloads are kept in the folder `downloads`.
    """
    if sky == "simulated" and frames is None:
        raise UserError("--frames: with `sky: simulated` name the folder that holds the frames.")
    return_large_blocks()
    everything = _read_positions(selected, stamps)
    galaxies, unplaced = _of_shard(everything, shard, stamps)
    source = _state_of_files(frames if frames is not None else Path(catalogue.stamp_folder))
    work = Path(partial) / _fingerprint(galaxies, stamps, sdss, catalogue, source)
    folder = Path(downloads) if network.keep_downloads else Path(partial) / "downloads"
    job = f"shard-{shard:03d}"
    provider = _provider(stamps, sdss, network, catalogue, frames, folder, job, threads)
    ledger = Ledger(f"stamps-{shard:03d}", len(galaxies) + len(unplaced))
    ledger.drop(unplaced["objid"], "its place is missing (position or field)")
    with Spool(work, provider.layout) as spool:
        workers = max(threads, network.downloads)
        for _ in track(
            _work(provider, spool, galaxies, workers), f"stamps {shard:03d}", ledger.came
        ):
            pass
        kept = _publish(spool, ledger, out)
    ledger.write(dropped, kept, allow_empty=True)
    remove(Path(partial))


def _read_positions(selected: Path, stamps: Stamps) -> pd.DataFrame:
    columns = {"files": [], "frames": ["ra", "dec", *FIELD_COLUMNS]}
    return read_table(selected, ["objid", *columns.get(stamps.provider, ["ra", "dec"])])


def _of_shard(
    everything: pd.DataFrame, shard: int, stamps: Stamps
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The galaxies of shard number `shard`: contiguous in fields, or in objid.

    Second, those without a position or field, all of them with the first shard.
    """
    placed = everything.notna().all(axis=1)
    galaxies, unplaced = everything[placed], everything[~placed]
    if not 0 <= shard < stamps.shards:
        raise UserError(f"--shard {shard}: stamps.shards is {stamps.shards}, counted from 0.")
    if stamps.provider == "frames":
        of = shard_of_fields(galaxies, stamps.shards).to_numpy()
    else:
        rank = np.argsort(np.argsort(galaxies["objid"].to_numpy(np.int64)))
        of = rank * stamps.shards // max(len(galaxies), 1)
    mine = galaxies[of == shard].sort_values("objid", ignore_index=True)
    return mine, unplaced if shard == 0 else unplaced.iloc[:0]


def _state_of_files(folder: Path) -> list[list[object]]:
    """Name, size and time of each file in `folder`, which show whether files were changed."""
    if not folder.name or not folder.is_dir():
        return []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    states = ((path, path.stat()) for path in files)
    return [[str(path), state.st_size, state.st_mtime_ns] for path, state in states]


def _fingerprint(
    galaxies: pd.DataFrame, stamps: Stamps, sdss: Sdss, catalogue: Catalogue, source: list
) -> str:
    """Identifies unfinished work: stamps of other galaxies, settings or code are never reused."""
    return fingerprint(
        *(galaxies[name].to_numpy() for name in galaxies),
        *(section.model_dump(mode="json") for section in (stamps, sdss, catalogue)),
        source,
        code_digest("mgsflow.sample.stamps"),
    )[:16]


def _provider(
    stamps: Stamps,
    sdss: Sdss,
    network: Network,
    catalogue: Catalogue,
    frames: Path | None,
    downloads: Path,
    job: str,
    threads: int,
) -> Provider:
    if stamps.provider == "files":
        return FileStamps(catalogue, stamps)
    if stamps.provider == "legacy":
        return CutoutProvider(LegacyCutouts(sdss, stamps), network, downloads, job)
    if stamps.provider == "jpeg":
        return CutoutProvider(JpegCutouts(sdss, stamps), network, downloads, job)
    if stamps.provider == "none":
        raise UserError("stamps.provider is `none`: there are no stamps to cut.")
    processors = threading.Semaphore(threads)
    if frames is not None:
        return FrameCutter(LocalFrames(frames), stamps, processors)
    source = sas_frames(sdss, network, downloads, job, processors)
    return FrameCutter(source, stamps, processors)


def _work(provider: Provider, spool: Spool, galaxies: pd.DataFrame, workers: int) -> Iterator[Cut]:
    """Add the missing batches to the spool; yields all cuts, earlier ones first."""
    yield from spool.cuts
    finished = set(spool.done)
    batches = [batch for batch in provider.batches(galaxies) if batch.name not in finished]
    provider.expect(batches)
    for batch, cuts in _in_order(provider, batches, workers):
        spool.append(batch.name, cuts)
        provider.done(batch)
        yield from cuts


def _in_order(
    provider: Provider, batches: list[Batch], workers: int
) -> Iterator[tuple[Batch, list[Cut]]]:
    """The batches' cuts, made by several threads and yielded in order, only a few in advance."""
    waiting: deque[tuple[Batch, Future[list[Cut]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for batch in batches:
                if len(waiting) == workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
                waiting.append((batch, pool.submit(provider.cut, batch)))
            for batch, future in waiting:
                yield batch, future.result()
        except BaseException:
            provider.stop()
            for _, future in waiting:
                future.cancel()
            raise


def _publish(spool: Spool, ledger: Ledger, out: Path) -> int:
    """Write the shard from the spool and record refused galaxies. Returns the number of stamps."""
    with create_shard(out, spool.layout, len(spool.kept)) as writer:
        for cut, stamp in zip(spool.kept, spool.stamps(), strict=True):
            writer.add(cut.objid, stamp, cut.masked)
    refused: dict[str, list[int]] = defaultdict(list)
    for cut in spool.cuts:
        if cut.reason:
            refused[cut.reason].append(cut.objid)
    for reason, objid in sorted(refused.items()):
        ledger.drop(np.array(objid, dtype=np.int64), reason)
    return len(spool.kept)
