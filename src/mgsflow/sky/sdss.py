"""SkyServer's SQL service: the Main Galaxy Sample, asked for in chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import requests
from astroquery.sdss import SDSS, conf

from mgsflow.config import Sdss, Selection
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path, sha256, write_text
from mgsflow.core.progress import say
from mgsflow.sky.reply import parse_reply

QUERY = files("mgsflow.sky").joinpath("main_galaxy_sample.sql")


def query_sdss(*, sdss: Sdss, selection: Selection, partial: Path, out: Path) -> None:
    """Ask SkyServer for the Main Galaxy Sample, chunk by chunk in the order of specObjID.

    Each chunk is kept as it came, in the folder `partial`, beside its sha256: a query that was
    interrupted goes on after the last whole chunk. `out` receives all chunks and the SQL.
    """
    after, number = 0, 0
    while True:
        path = _chunk_path(partial, sdss, selection, number)
        if not _is_whole(path):
            _fetch(path, sdss, query(selection, sdss.chunk_rows, after))
        rows = parse_reply(path.read_text(), str(path))
        say(f"query-sdss: chunk {number}: {len(rows)} rows after specObjID {after}")
        if len(rows):
            after = int(rows["specobjid"].max())
        number += 1
        if len(rows) < sdss.chunk_rows:
            break
    with atomic_path(out) as folder:
        folder.mkdir()
        (folder / "query.sql").write_text(query(selection, sdss.chunk_rows, 0))
        for i in range(number):
            text = _chunk_path(partial, sdss, selection, i).read_text()
            (folder / f"chunk-{i:04d}.csv").write_text(text)


def query(selection: Selection, rows: int, after: int) -> str:
    """The SQL of one chunk: at most `rows` rows with specObjID above `after`."""
    return QUERY.read_text(encoding="utf-8").format(
        rows=rows,
        after=after,
        redshift_min=selection.redshift_min,
        redshift_max=selection.redshift_max,
    )


def _chunk_path(partial: Path, sdss: Sdss, selection: Selection, number: int) -> Path:
    """Where a chunk is kept; chunks of other questions are never taken for it."""
    question = f"dr{sdss.data_release}-{sdss.chunk_rows}"
    return (
        partial
        / f"{question}-{selection.redshift_min}-{selection.redshift_max}"
        / f"chunk-{number:04d}.csv"
    )


def _is_whole(path: Path) -> bool:
    digest = path.with_suffix(".sha256")
    return path.exists() and digest.exists() and digest.read_text() == sha256(path)


def _fetch(path: Path, sdss: Sdss, sql: str) -> None:
    """One chunk's reply into `path`, tried `sdss.attempts` times with growing pauses."""
    problem = ""
    for attempt in range(1, sdss.attempts + 1):
        time.sleep(sdss.request_interval * attempt)
        try:
            text = ask(sdss, sql)
            parse_reply(text, sdss.skyserver_url)
        except (UserError, requests.RequestException) as error:
            problem = str(error)
            say(f"query-sdss: attempt {attempt} of {sdss.attempts} failed: {problem}")
            continue
        write_text(path, text)
        write_text(path.with_suffix(".sha256"), sha256(path))
        return
    raise UserError(
        f"{sdss.skyserver_url}: no usable reply after {sdss.attempts} attempts; the last: "
        f"{problem} The chunks so far are kept: run again when the service answers."
    )


def ask(sdss: Sdss, sql: str) -> str:
    """SkyServer's reply to `sql`, as text. Raises requests' errors where it does not answer."""
    with _service(sdss):
        response = SDSS.query_sql_async(
            sql, timeout=sdss.timeout, data_release=sdss.data_release, cache=False
        )
    response.raise_for_status()
    return response.text


@contextmanager
def _service(sdss: Sdss) -> Iterator[None]:
    with conf.set_temp("skyserver_baseurl", sdss.skyserver_url):
        yield
