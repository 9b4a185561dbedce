"""SkyServer's SQL service, against a server on this machine that answers and fails like it."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from skyserver_replies import FIRST_SPECOBJID, reply_text, served_rows

from mgsflow.config import Network, Sdss, Selection
from mgsflow.core.errors import UserError
from mgsflow.sky.query_sdss import query, query_sdss
from mgsflow.sky.reply import read_reply
from mgsflow.sky.skyserver import SkyServer

ROWS = served_rows(23)
HTML = "<!DOCTYPE html><html><body>SkyServer is down for maintenance</body></html>"


@dataclass
class Service:
    """A data base of ROWS behind the address of x_results.aspx.

    `faults` maps the number of a request, from 0, to what it gets in place of its answer: a
    status, a text, or a function of the true answer.
    """

    rows: pd.DataFrame = field(default_factory=lambda: ROWS.copy())
    faults: dict[int, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, str, bool]:
        """Status, text, and whether the connection breaks in the middle of it."""
        number = len(self.requests)
        asked = parse_qs(urlsplit(path).query)
        assert urlsplit(path).path == "/dr17/en/tools/search/x_results.aspx"
        assert asked["format"] == ["csv"] and asked["searchtool"] == ["SQL"]
        self.requests.append(asked["cmd"][0])
        text = self._select(asked["cmd"][0])
        fault = self.faults.get(number)
        if fault == "reset":
            return 200, text, True
        if isinstance(fault, int):
            return fault, "busy", False
        if isinstance(fault, str):
            return 200, fault, False
        return 200, fault(text) if fault else text, False

    def _select(self, sql: str) -> str:
        low, high = map(float, re.search(r"s\.z BETWEEN (\S+) AND (\S+)", sql).groups())
        after = int((re.search(r"s\.specobjid > (\d+)", sql) or [0, 0])[1])
        rows = self.rows[self.rows["z"].between(low, high) & (self.rows["specobjid"] > after)]
        if "COUNT(*)" in sql:
            return f"#Table1\nn\n{len(rows)}\n"
        top = int(re.search(r"SELECT TOP (\d+)", sql)[1])
        assert "ORDER BY s.specobjid" in sql
        return reply_text(rows.sort_values("specobjid").head(top))


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text, broken = service.answer(self.path)
            body = gzip.compress(text.encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Encoding", "gzip")  # or each reply would be asked for twice
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if broken else body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()


def settings(service: Service, chunk_rows: int = 10) -> Sdss:
    return Sdss(skyserver_url=service.url, chunk_rows=chunk_rows)


def network(**others) -> Network:
    values = {"request_interval": 0.0, "attempts": 3, "query_timeout": 10.0, "backoff": 0.0}
    return Network(**(values | others))


def ask(service: Service, folder: Path, chunk_rows: int = 10, **others) -> pd.DataFrame:
    """The reply's table, as the stages query-sdss and select would have it."""
    query_sdss(
        sdss=settings(service, chunk_rows),
        network=network(**others),
        selection=Selection(),
        partial=folder / "partial",
        out=folder / "reply",
    )
    return read_reply(folder / "reply")


def test_every_row_arrives_once_in_chunks_with_its_identifiers(service, tmp_path):
    table = ask(service, tmp_path)
    assert table["objid"].tolist() == ROWS["objid"].tolist()
    assert table["specobjid"].tolist() == ROWS["specobjid"].tolist()
    chunks = sorted(path.name for path in (tmp_path / "reply").glob("*.csv"))
    assert chunks == [f"chunk-{i:04d}.csv" for i in range(3)]
    assert "SELECT TOP 10" in (tmp_path / "reply/query.sql").read_text()
    assert len(service.requests) == 1 + 3


def test_a_chunk_is_kept_as_it_came(service, tmp_path):
    ask(service, tmp_path, chunk_rows=100)
    assert (tmp_path / "reply/chunk-0000.csv").read_text() == reply_text(ROWS)


@pytest.mark.parametrize("rows", [4, 22, 23, 24])
def test_the_result_does_not_depend_on_the_chunks(service, tmp_path, rows):
    assert ask(service, tmp_path, chunk_rows=rows)["objid"].tolist() == ROWS["objid"].tolist()


FAULTS = {
    "429": 429,
    "500": 500,
    "503": 503,
    "an HTML page": HTML,
    "an empty reply": "",
    "nothing but the first line": "#Table1\n",
    "reset in mid-body": "reset",
    "a row cut off": lambda text: text[: len(text) - 40],
    "a last field cut off": lambda text: text[:-3],
    "rows in another order": lambda text: swap_lines(text, 2, 4),
    "a row twice": lambda text: text + text.splitlines()[-1] + "\n",
    "text in place of a number": lambda text: text.replace(",0.1,", ",none,", 1),
    "another table": "#Table1\nname,type\nfield,int\n",
}


def swap_lines(text: str, a: int, b: int) -> str:
    lines = text.splitlines(keepends=True)
    lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


COUNT_FAULTS = {
    **{
        name: FAULTS[name] for name in ("503", "an HTML page", "reset in mid-body", "another table")
    },
    "a digit cut off": lambda text: text[:-2],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_chunk_is_recognised_and_asked_for_again(service, tmp_path, fault):
    service.faults = {2: FAULTS[fault]}
    table = ask(service, tmp_path)
    assert table["objid"].tolist() == ROWS["objid"].tolist()
    assert len(service.requests) == 1 + 3 + 1


@pytest.mark.parametrize("fault", COUNT_FAULTS)
def test_a_faulty_count_is_recognised_and_asked_for_again(service, tmp_path, fault):
    service.faults = {0: COUNT_FAULTS[fault]}
    assert len(ask(service, tmp_path)) == 23
    assert len(service.requests) == 1 + 3 + 1


def test_a_service_that_never_answers_stops_the_query_with_words(service, tmp_path):
    service.faults = dict.fromkeys(range(2, 9), HTML)
    with pytest.raises(UserError, match=r"no usable reply in 3 attempts.*not a reply of SkyServer"):
        ask(service, tmp_path)
    assert not (tmp_path / "reply").exists()


def test_an_interrupted_query_goes_on_where_it_stopped(service, tmp_path):
    service.faults = dict.fromkeys(range(2, 5), 503)
    with pytest.raises(UserError):
        ask(service, tmp_path)
    before = len(service.requests)
    table = ask(service, tmp_path)
    assert table["objid"].tolist() == ROWS["objid"].tolist()
    assert len(service.requests) - before == 2
    assert f"s.specobjid > {FIRST_SPECOBJID + 9 * 1024}" in service.requests[before]


def test_a_chunk_that_was_damaged_on_disk_is_asked_for_again(service, tmp_path):
    ask(service, tmp_path)
    before = len(service.requests)
    path = next((tmp_path / "partial").rglob("chunk-0001.csv"))
    path.write_text(path.read_text().replace("17.0", "16.0"))
    assert (ask(service, tmp_path)["petro_mag_r"] == 17.0).all()
    assert len(service.requests) == before + 1


def test_chunks_of_another_question_are_not_taken(service, tmp_path):
    ask(service, tmp_path)
    before = len(service.requests)
    ask(service, tmp_path, chunk_rows=8)
    assert len(service.requests) == before + 1 + 3


@pytest.mark.parametrize("count", [22, 24])
def test_another_number_of_rows_than_counted_is_never_taken_for_all(service, tmp_path, count):
    service.faults = {0: f"#Table1\nn\n{count}\n"}
    with pytest.raises(UserError, match=f"of {count}.*query again"):
        ask(service, tmp_path)
    assert not (tmp_path / "reply").exists()


def test_a_wrong_query_or_address_is_said_at_once(service, tmp_path):
    service.faults = {0: "#Error\nInvalid object name 'galSpecInfo'.\n"}
    with pytest.raises(UserError, match=r"refuses the query: #Error\s+Invalid object name"):
        ask(service, tmp_path)
    service.faults = {1: 404, 2: 404}
    with pytest.raises(UserError, match="the server answers status 404: it has no SQL service"):
        ask(service, tmp_path)
    assert len(service.requests) == 3


def test_an_address_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9.*sdss\.skyserver_url"):
        ask(Service(url="http://127.0.0.1:9"), tmp_path, attempts=2)


def test_an_empty_sky_is_an_error_that_names_the_section(service, tmp_path):
    service.rows["z"] = 2.0
    with pytest.raises(UserError, match="selection"):
        ask(service, tmp_path)


def test_requests_keep_their_distance_and_heed_the_server(service):
    service.faults = {1: 503}
    service.headers = {"Retry-After": "7"}
    now, pauses = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    server = SkyServer(settings(service), network(request_interval=2.0), sleep, lambda: now)
    for _ in range(2):
        server.ask(query(Selection(), 5, 0), len)
    assert [pause for pause in pauses if pause] == [2.0, 7.0]


def test_a_chunk_that_was_lost_or_changed_after_the_query_is_noticed(service, tmp_path):
    ask(service, tmp_path)
    chunk = tmp_path / "reply/chunk-0001.csv"
    text = chunk.read_text()
    chunk.write_text(text.replace("17.0", "16.0"))
    with pytest.raises(UserError, match=r"chunk-0001\.csv: changed since its download"):
        read_reply(tmp_path / "reply")
    chunk.unlink()
    with pytest.raises(UserError, match="13 rows, of 23 that SkyServer counted"):
        read_reply(tmp_path / "reply")
