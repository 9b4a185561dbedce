"""The ways in which a service fails: each takes the true answer of a request and corrupts it.

A fault that changes bytes is `_changed`; the others act on the connection. `FAULTS` says to which
services each applies.
"""

from __future__ import annotations

import bz2
import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from PIL import Image

if TYPE_CHECKING:
    from loopback import Handler

SQL, FRAMES, LEGACY, JPEG = SERVICES = ("sql", "frames", "legacy", "jpeg")
HTML = b"<!DOCTYPE html><html><body><h1>Service unavailable</h1>Try again later.</body></html>"

_chance = random.Random(1)
Apply = Callable[["Handler", bytes], None]


@dataclass(frozen=True)
class Fault:
    services: tuple[str, ...]
    apply: Apply


def _status(code: int, **headers: str) -> Apply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, body: handler.reply(code, HTML, named)


def _retry_at_date(handler: Handler, body: bytes) -> None:
    handler.reply(503, HTML, {"Retry-After": formatdate(time.time() - 1, usegmt=True)})


def _silent(handler: Handler, body: bytes) -> None:
    time.sleep(handler.server.silence)
    handler.reset()


def _silent_in_the_middle(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[: len(body) // 2], length=len(body))
    time.sleep(handler.server.silence)
    handler.reset()


def _reset(handler: Handler, body: bytes) -> None:
    handler.reset()


def _reset_in_the_middle(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[: len(body) // 2], length=len(body))
    handler.reset()


def _closed_early(handler: Handler, body: bytes) -> None:
    """A proxy that lost the connection behind it: less than Content-Length says."""
    handler.reply(200, body[: 2 * len(body) // 3], length=len(body))
    handler.close_connection = True


def _cut_without_length(handler: Handler, body: bytes) -> None:
    """As HTTP/1.0 ends a body: nothing in the protocol shows that it is not whole."""
    handler.reply(200, body[: 2 * len(body) // 3], length=None)
    handler.close_connection = True


def _broken_chunks(handler: Handler, body: bytes) -> None:
    half = body[: len(body) // 2]
    handler.reply(200, b"%x\r\n%s\r\n" % (len(half), half), {"Transfer-Encoding": "chunked"}, None)
    handler.close_connection = True


def _changed(change: Callable[[bytes], bytes]) -> Apply:
    return lambda handler, body: handler.reply(200, change(body))


def _flip_a_bit(share: float, bit: int) -> Callable[[bytes], bytes]:
    """Of a byte at about this share of the body: never the same twice, as on a bad line."""

    def flip(body: bytes) -> bytes:
        spoiled = bytearray(body)
        place = share + _chance.uniform(-0.01, 0.01)
        spoiled[int(place * (len(body) - 1))] ^= 1 << bit
        return bytes(spoiled)

    return flip


def _zeros(body: bytes) -> bytes:
    """A hole, as a file system leaves after a crash."""
    third = len(body) // 3
    start = _chance.randint(third // 2, third)
    return body[:start] + bytes(third) + body[start + third :]


def _line_end(body: bytes) -> bytes:
    place = _chance.randint(20, 60)
    return body[:place] + b"\r" + body[place + 1 :]


def _lines(change: Callable[[list[str]], list[str]]) -> Apply:
    """A change of the rows below the first line and the header."""

    def spoil(body: bytes) -> bytes:
        first, header, *rows = body.decode().splitlines(keepends=True)
        return "".join([first, header, *change(rows)]).encode()

    return _changed(spoil)


def _without_a_column(body: bytes) -> bytes:
    first, *lines = body.decode().splitlines()
    return "\n".join([first, *(line.rpartition(",")[0] for line in lines), ""]).encode()


def _another_frame(handler: Handler, body: bytes) -> None:
    """The whole frame of another band, as a confused cache gives it."""
    band = "r" if "frame-r-" not in handler.path else "i"
    other = handler.path.replace(handler.path.split("frame-")[1][:2], f"{band}-")
    handler.reply(200, handler.server.true_answer(other)[2])


def _fits_of_another_size(body: bytes) -> bytes:
    with fits.open(io.BytesIO(body)) as hdus:
        stream = io.BytesIO()
        fits.PrimaryHDU(hdus[0].data[:, 1:, 1:], hdus[0].header).writeto(stream)
    return stream.getvalue()


def _jpeg_of_another_size(body: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


ALL, IMAGES = SERVICES, (FRAMES, LEGACY, JPEG)
FAULTS = {
    "429": Fault(ALL, _status(429)),
    "429, Retry-After in seconds": Fault(ALL, _status(429, Retry_After="0")),
    "503, Retry-After as a date": Fault(ALL, _retry_at_date),
    "500": Fault(ALL, _status(500)),
    "502": Fault(ALL, _status(502)),
    "503": Fault(ALL, _status(503)),
    "504": Fault(ALL, _status(504)),
    "408": Fault(ALL, _status(408)),
    "time-out before the reply": Fault(ALL, _silent),
    "time-out within the body": Fault(ALL, _silent_in_the_middle),
    "reset before the reply": Fault(ALL, _reset),
    "reset within the body": Fault(ALL, _reset_in_the_middle),
    "closed before Content-Length is reached": Fault(ALL, _closed_early),
    "cut off, no Content-Length": Fault(ALL, _cut_without_length),
    "chunked transfer breaks off": Fault(ALL, _broken_chunks),
    "HTML page with status 200": Fault(ALL, _changed(lambda body: HTML)),
    "empty reply": Fault(ALL, _changed(lambda body: b"")),
    "truncated, Content-Length of the truncated body": Fault(
        ALL, _changed(lambda b: b[: -_chance.randint(60, 140)])
    ),
    "one bit flipped in the middle": Fault(ALL, _changed(_flip_a_bit(0.5, 0))),
    "one bit flipped in the header": Fault(ALL, _changed(_flip_a_bit(0.02, 3))),
    "one bit flipped near the end": Fault(ALL, _changed(_flip_a_bit(0.99, 6))),
    "a line break inside the header": Fault(ALL, _changed(_line_end)),
    "a third of the bytes set to zero": Fault(ALL, _changed(_zeros)),
    "only the first line": Fault((SQL,), _changed(lambda body: b"#Table1\n")),
    "error text with status 200": Fault(
        (SQL,), _changed(lambda body: b"#Error\nTimeout expired before the query was done.\n")
    ),
    "the last row twice": Fault((SQL,), _lines(lambda rows: rows + rows[-1:])),
    "rows in another order": Fault((SQL,), _lines(lambda rows: rows[::-1] or ["1\n"])),
    "rows missing": Fault((SQL,), _lines(lambda rows: rows[: len(rows) // 2])),
    "a column missing": Fault((SQL,), _changed(_without_a_column)),
    "text in place of numbers": Fault(
        (SQL,), _lines(lambda rows: [row.replace(",301,", ",none,", 1) for row in rows] or ["x\n"])
    ),
    "another band's frame": Fault((FRAMES,), _another_frame),
    "a bz2 file of an HTML page": Fault((FRAMES,), _changed(lambda body: bz2.compress(HTML))),
    "a FITS cube of another size": Fault((LEGACY,), _changed(_fits_of_another_size)),
    "an image of another size": Fault((JPEG,), _changed(_jpeg_of_another_size)),
}
