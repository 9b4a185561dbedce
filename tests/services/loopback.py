"""SDSS on 127.0.0.1: SkyServer's SQL, SAS, the Legacy Surveys' and SkyServer's cutouts.

Answers as the real services do, and misbehaves on request. The product is told the addresses and
nothing else.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from faults import FAULTS, FRAMES, HTML, JPEG, LEGACY, SQL
from simulated_sdss import SimulatedSdss, jpeg_file, legacy_file

from mgsflow.config import Network, Sdss

Plan = Callable[[str, int], str | None]  # service, number of its request from 0: name of a fault


class Request(NamedTuple):
    service: str
    path: str
    fault: str | None
    status: int


class Loopback(ThreadingHTTPServer):
    """The server: `requests` is what was asked so far, `plan` says which of them fails and how."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, sdss: SimulatedSdss, silence: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sdss = sdss
        self.silence = silence  # seconds of a time-out; longer than the client's patience
        self.plan: Plan = lambda service, number: None
        self.requests: list[Request] = []
        self.on_request: Callable[[Request], None] = lambda request: None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def settings(self, **others: object) -> Sdss:
        """The product's settings for these services."""
        addresses = {
            "skyserver_url": self.url,
            "sas_url": f"{self.url}/sas",
            "legacy_url": f"{self.url}/viewer/fits-cutout",
            "jpeg_url": f"{self.url}/dr17/SkyServerWS/ImgCutout/getjpeg",
        }
        return Sdss(**(addresses | {"chunk_rows": 7} | others))

    def network(self, **others: object) -> Network:
        """Impatient, so that time-outs are short."""
        patience = {"image_timeout": 0.4, "query_timeout": 0.4, "backoff": 0.0}
        return Network(**(patience | {"request_interval": 0.0, "attempts": 12} | others))

    def asked(self, service: str) -> list[Request]:
        return [request for request in self.requests if request.service == service]

    def forget(self) -> None:
        self.requests.clear()
        self.plan = lambda service, number: None
        self.on_request = lambda request: None

    def enter(self, service: str, path: str, status: int) -> str | None:
        """Note a request; returns the name of its fault."""
        with self._lock:
            fault = self.plan(service, len(self.asked(service)))
            if fault is not None and service not in FAULTS[fault].services:
                fault = None
            request = Request(service, path, fault, status)
            self.requests.append(request)
        self.on_request(request)
        return fault

    def true_answer(self, path: str) -> tuple[str, int, bytes]:
        """Service, status and body of the right answer to a path."""
        address = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if any(part in path for part in self.sdss.missing):
            return _service_of(path), 404, HTML
        for pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, address.path)
            if match:
                return answer(self.sdss, match, asked)
        return _service_of(path), 404, HTML

    def handle_error(self, request: object, address: object) -> None:
        """Connections that break are what this server is for."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet: else each reply waits 40 ms for an ACK
    server: Loopback

    def do_GET(self) -> None:
        service, status, body = self.server.true_answer(self.path)
        fault = self.server.enter(service, self.path, status)
        if fault is None or status != 200:
            self.reply(status, body)
        else:
            FAULTS[fault].apply(self, body)

    def reply(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        length: int | None = -1,
    ) -> None:
        """Send `body`; `length` is what is said of it, None to say nothing."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def reset(self) -> None:
        """End the connection with RST, in place of an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """The log is `requests`."""


def _sql(sdss: SimulatedSdss, match: re.Match, asked: dict[str, str]) -> tuple[str, int, bytes]:
    assert asked["format"] == "csv"
    return SQL, 200, sdss.database.answer(asked["cmd"]).encode()


def _frame(sdss: SimulatedSdss, match: re.Match, asked: dict[str, str]) -> tuple[str, int, bytes]:
    run, camcol, band, field = match["run"], match["camcol"], match["band"], match["field"]
    file = sdss.frame_file((int(run), int(camcol), int(field)), band)
    return (FRAMES, 404, HTML) if file is None else (FRAMES, 200, file)


def _folder(sdss: SimulatedSdss, match: re.Match, asked: dict[str, str]) -> tuple[str, int, bytes]:
    return FRAMES, 200, b"<html><body>Index of 301</body></html>"


def _legacy(sdss: SimulatedSdss, match: re.Match, asked: dict[str, str]) -> tuple[str, int, bytes]:
    assert asked["layer"] == "sdss"
    ra, dec, scale = (float(asked[name]) for name in ("ra", "dec", "pixscale"))
    cube = sdss.cutout(ra, dec, scale, int(asked["size"]), asked["bands"])
    return LEGACY, 200, legacy_file(cube, ra, dec, scale, asked["bands"])


def _jpeg(sdss: SimulatedSdss, match: re.Match, asked: dict[str, str]) -> tuple[str, int, bytes]:
    ra, dec, scale = (float(asked[name]) for name in ("ra", "dec", "scale"))
    assert asked["width"] == asked["height"]
    return JPEG, 200, jpeg_file(sdss.cutout(ra, dec, scale, int(asked["width"]), "gri"))


_FRAMES = r"/sas/(dr8/groups/boss|dr(9|10|11|12)/boss|dr1[3-7]/eboss)/photoObj/frames/301/"
_ROUTES = (
    (r"/dr\d+/en/tools/search/x_(sql\.aspx?|results\.aspx)", _sql),
    (_FRAMES, _folder),
    (
        _FRAMES + r"(?P<run>\d+)/(?P<camcol>\d)/frame-(?P<band>[ugriz])-\d{6}-\d-"
        r"(?P<field>\d{4})\.fits\.bz2",
        _frame,
    ),
    (r"/viewer/fits-cutout", _legacy),
    (r"/dr17/SkyServerWS/ImgCutout/getjpeg", _jpeg),
)


def _service_of(path: str) -> str:
    names = {"/sas/": FRAMES, "fits-cutout": LEGACY, "getjpeg": JPEG}
    return next((service for part, service in names.items() if part in path), SQL)


@contextmanager
def serve(sdss: SimulatedSdss, silence: float = 1.0) -> Iterator[Loopback]:
    """A running server, on a port of its own."""
    with Loopback(sdss, silence) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def once(fault: str, service: str, number: int) -> Plan:
    """One request of a service fails, the `number`-th from 0."""
    return lambda of, count: fault if (of, count) == (service, number) else None


def at_random(share: float, seed: int) -> Plan:
    """This share of all requests fail, each in a way that its service can."""
    chance = random.Random(seed)

    def plan(service: str, number: int) -> str | None:
        if chance.random() >= share:
            return None
        return chance.choice([name for name, one in FAULTS.items() if service in one.services])

    return plan
