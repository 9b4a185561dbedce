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

    With `stamps.provider` `frames` they are cut from the corrected frames below the folder
    `frames` or, without it, from those of SDSS's Science Archive Server; with `legacy` and `jpeg`
    they come from a cutout service, with `files` from `catalogue.stamp_folder`. A shard may be
    empty. What is done is kept in the folder `partial` until the shard is whole, so that a job
    that was killed goes on where it stopped; with `network.keep_downloads` what was downloaded
    stays, in the folder `downloads`.
    """
    if sky == "simulated" and frames is None:
        raise UserError("--frames: with `sky: simulated` name the folder that holds the frames.")
    return_large_blocks()
    galaxies = _of_shard(_read_positions(selected, stamps), shard, stamps)
    work = Path(partial) / _fingerprint(galaxies, stamps, sdss, catalogue)
    folder = Path(downloads) if network.keep_downloads else Path(partial) / "downloads"
    provider = _provider(
        stamps, sdss, network, catalogue, frames, folder, Path(partial) / "arriving", threads
    )
    ledger = Ledger(f"stamps-{shard:03d}", len(galaxies))
    with Spool(work, provider.layout) as spool:
        workers = max(threads, network.downloads)
        for _ in track(
            _work(provider, spool, galaxies, workers), f"stamps {shard:03d}", ledger.came
        ):
            pass
        kept = _publish(spool, ledger, stamps.masked_max, out)
    ledger.write(dropped, kept, allow_empty=True)
    remove(Path(partial))


def _read_positions(selected: Path, stamps: Stamps) -> pd.DataFrame:
    columns = {"files": [], "frames": ["ra", "dec", *FIELD_COLUMNS]}
    return read_table(selected, ["objid", *columns.get(stamps.provider, ["ra", "dec"])])


def _of_shard(galaxies: pd.DataFrame, shard: int, stamps: Stamps) -> pd.DataFrame:
    """The galaxies of shard number `shard`: contiguous runs of fields, or of objid."""
    if not 0 <= shard < stamps.shards:
        raise UserError(f"--shard {shard}: stamps.shards is {stamps.shards}, counted from 0.")
    if stamps.provider == "frames":
        of = shard_of_fields(galaxies, stamps.shards).to_numpy()
    else:
        rank = np.argsort(np.argsort(galaxies["objid"].to_numpy(np.int64)))
        of = rank * stamps.shards // max(len(galaxies), 1)
    return galaxies[of == shard].sort_values("objid", ignore_index=True)


def _fingerprint(galaxies: pd.DataFrame, stamps: Stamps, sdss: Sdss, catalogue: Catalogue) -> str:
    """Names what was begun: stamps of other galaxies, settings or code are never taken for it."""
    return fingerprint(
        *(galaxies[name].to_numpy() for name in galaxies),
        *(section.model_dump(mode="json") for section in (stamps, sdss, catalogue)),
        code_digest("mgsflow.sample.stamps"),
    )[:16]


def _provider(
    stamps: Stamps,
    sdss: Sdss,
    network: Network,
    catalogue: Catalogue,
    frames: Path | None,
    downloads: Path,
    arriving: Path,
    threads: int,
) -> Provider:
    if stamps.provider == "files":
        return FileStamps(catalogue, stamps)
    if stamps.provider == "legacy":
        return CutoutProvider(LegacyCutouts(sdss, stamps), network, downloads, arriving)
    if stamps.provider == "jpeg":
        return CutoutProvider(JpegCutouts(sdss, stamps), network, downloads, arriving)
    if stamps.provider == "none":
        raise UserError("stamps.provider is `none`: there are no stamps to cut.")
    processors = threading.Semaphore(threads)
    if frames is not None:
        return FrameCutter(LocalFrames(frames), stamps, processors)
    source = sas_frames(sdss, network, downloads, arriving, processors)
    return FrameCutter(source, stamps, processors)


def _work(provider: Provider, spool: Spool, galaxies: pd.DataFrame, workers: int) -> Iterator[Cut]:
    """Fill the spool with what it lacks; yields the cuts, those of before first."""
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
    """The batches' cuts, made by several threads and given in order, few ahead of time."""
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


def _publish(spool: Spool, ledger: Ledger, masked_max: float, out: Path) -> int:
    """Write the shard from the spool, and enter what is not in it. Returns its stamps."""
    whole = [cut.masked <= masked_max for cut in spool.kept]
    with create_shard(out, spool.layout, sum(whole)) as writer:
        for cut, good, stamp in zip(spool.kept, whole, spool.stamps(), strict=True):
            if good:
                writer.add(cut.objid, stamp, cut.masked)
    refused: dict[str, list[int]] = defaultdict(list)
    for cut in spool.cuts:
        if cut.reason:
            refused[cut.reason].append(cut.objid)
    masked = f"no image covers more than {masked_max:.0%} of its stamp (stamps.masked_max)"
    for cut, good in zip(spool.kept, whole, strict=True):
        if not good:
            refused[masked].append(cut.objid)
    ledger.note(
        "stamps of which no image covers a part, masked with 0",
        sum(good and cut.masked > 0 for cut, good in zip(spool.kept, whole, strict=True)),
    )
    for reason, objid in sorted(refused.items()):
        ledger.drop(np.array(objid, dtype=np.int64), reason)
    return sum(whole)
