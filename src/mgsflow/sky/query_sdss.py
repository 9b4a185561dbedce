"""The stage that queries SkyServer for the Main Galaxy Sample, in chunks."""

from __future__ import annotations

import hashlib
import shutil
from itertools import pairwise
from pathlib import Path

from mgsflow.config import Network, Sdss, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path, read_json, sha256, write_json, write_text
from mgsflow.core.progress import say
from mgsflow.sky.query import count_query, query
from mgsflow.sky.reply import COUNT_FILE, parse_reply, reply_body, specobjids
from mgsflow.sky.skyserver import SkyServer


def query_sdss(
    *, sdss: Sdss, network: Network, selection: Selection, partial: Path, out: Path
) -> None:
    """Query SkyServer for the Main Galaxy Sample, chunk by chunk in the order of specobjid.

    The folder `out` receives every reply unchanged, chunk-0000.csv and so on, and the SQL. Until
    all are complete they are kept in the folder `partial` with their checksums: an interrupted
    query continues after the last complete chunk. The number of rows is queried first, and a
    result with fewer rows is never accepted.
    """
    server = SkyServer(sdss, network)
    folder = Path(partial) / _fingerprint(sdss, selection)
    total = _count(server, folder / COUNT_FILE, selection)
    after = done = number = 0
    while done < total:
        ids = _chunk(server, _chunk_path(folder, number), selection, sdss.chunk_rows, after)
        if not ids or done + len(ids) > total:
            raise UserError(
                f"{sdss.skyserver_url}: chunk {number} has {len(ids)} rows after the first {done} "
                f"of {total}. The database has changed in the meantime, or the service is faulty: "
                f"remove {folder} and query again."
            )
        after, done, number = ids[-1], done + len(ids), number + 1
        say(f"query-sdss: {done} of {total} rows, {number} chunks")
    _publish(folder, number, query(selection, sdss.chunk_rows, 0), out)


def _fingerprint(sdss: Sdss, selection: Selection) -> str:
    """Names the folder of one query, so that the chunks of another are never used for it."""
    query_text = (
        f"{sdss.skyserver_url}\n{sdss.data_release}\n{query(selection, sdss.chunk_rows, 0)}"
    )
    return hashlib.sha256(query_text.encode()).hexdigest()[:16]


def _chunk_path(folder: Path, number: int) -> Path:
    return folder / f"chunk-{number:04d}.csv"


def _count(server: SkyServer, path: Path, selection: Selection) -> int:
    if path.exists():
        return read_json(path)["rows"]
    _, rows = server.ask(count_query(selection), _read_count)
    if rows == 0:
        raise UserError(
            "SkyServer has no galaxy that passes the cuts of the section selection: widen "
            "redshift_min and redshift_max."
        )
    write_json(path, {"rows": rows})
    return rows


def _read_count(text: str) -> int:
    lines = reply_body(text, "its reply", ["n"]).split()
    if len(lines) != 2 or not lines[1].isdecimal() or not text.endswith("\n"):
        raise UserError(f"its reply is not a count of rows: {text.strip()[:200]!r}")
    return int(lines[1])


def _chunk(server: SkyServer, path: Path, selection: Selection, size: int, after: int) -> list[int]:
    """The specobjids of one chunk, from disk if it is complete there, otherwise by a query."""
    if _is_whole(path):
        return specobjids(path.read_text(encoding="utf-8"), str(path))
    text, ids = server.ask(query(selection, size, after), lambda text: _read(text, size, after))
    write_text(path, text)
    write_text(path.with_suffix(".sha256"), sha256(path))
    return ids


def _is_whole(path: Path) -> bool:
    digest = path.with_suffix(".sha256")
    return path.exists() and digest.exists() and digest.read_text() == sha256(path)


def _read(text: str, size: int, after: int) -> list[int]:
    """A chunk's specobjids. Raises UserError if it is not the reply to its query."""
    parse_reply(text, "its reply")
    if not text.endswith("\n"):
        raise UserError("its reply does not end with a line's end: it was cut off")
    ids = specobjids(text, "its reply")
    if len(ids) > size or any(b <= a for a, b in pairwise([after, *ids])):
        raise UserError(
            f"its reply is not of at most {size} rows in the order of specobjid after {after}"
        )
    return ids


def _publish(folder: Path, chunks: int, sql: str, out: Path) -> None:
    """Copy the chunks to `out`; they stay in `folder`, so that a rerun need not query again."""
    with atomic_path(out) as temporary:
        temporary.mkdir()
        (temporary / "query.sql").write_text(sql, encoding="utf-8")
        shutil.copyfile(folder / COUNT_FILE, temporary / COUNT_FILE)
        for path in (_chunk_path(folder, number) for number in range(chunks)):
            for file in (path, path.with_suffix(".sha256")):
                shutil.copyfile(file, temporary / file.name)
