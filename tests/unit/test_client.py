"""The HTTP client: what is tried again, when, and what is said when it is no use."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
import requests

from mgsflow.config import Network
from mgsflow.core.errors import UserError
from mgsflow.sky.client import BadReplyError, Client, MissingError

URL = "http://127.0.0.1:9/file"
BUSY, GONE = 503, 404


def reply(body=b"whole", status=200, url=URL, **headers) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content, made.url, made.reason = status, body, url, "Reason"
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def read(content: bytes) -> str:
    if not content.startswith(b"whole"):
        raise BadReplyError("not whole")
    return content.decode()


class Service:
    """Gives what it is told to, one after another; exceptions are raised. Time passes in sleep."""

    def __init__(self, *replies, attempts=8, interval=0.0):
        self.replies, self.asked, self.pauses, self.now = list(replies), [], [], 0.0
        network = Network(attempts=attempts)
        self.client = Client(
            network, "sdss.some_url", interval=interval, sleep=self.sleep, clock=lambda: self.now
        )

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def send(self):
        self.asked.append(self.now)
        given = self.replies.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def ask(self, **options):
        return self.client.ask(self.send, read, URL, **({"self_checking": True} | options))


FAULTS = {
    "busy": reply(status=BUSY),
    "a proxy without the server": reply(status=520),
    "too many requests": reply(status=429),
    "damaged": reply(b"who"),
    "empty": reply(b""),
    "reset": requests.ConnectionError("reset"),
    "time-out": requests.ReadTimeout("silence"),
    "cut off": requests.exceptions.ChunkedEncodingError("cut off"),
    "socket": OSError("gone"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_tried_again(fault):
    service = Service(FAULTS[fault], reply())
    assert service.ask() == (b"whole", "whole")
    assert len(service.asked) == 2
    assert len(service.pauses) == 1 and 1 <= service.pauses[0] <= 2


def test_pauses_grow_and_end():
    service = Service(*[reply(status=BUSY)] * 12, reply(), attempts=13)
    service.ask()
    for number, pause in enumerate(service.pauses, start=1):
        assert min(2.0**number, 600) / 2 <= pause <= min(2.0**number, 300)


@pytest.mark.parametrize(
    "asked, least, most",
    [
        ("7", 7, 7),
        ("0", 1, 2),
        ("Thu, 05 Nov 1998 10:00:00 GMT", 1, 2),
        ("3000", 3000, 3000),
        ("soon", 1, 2),
    ],
)
def test_the_servers_wish_is_heeded(asked, least, most):
    service = Service(reply(status=BUSY, Retry_After=asked), reply())
    service.ask()
    assert least <= service.pauses[0] <= most


def test_pauses_grow_whatever_little_a_server_asks_for():
    service = Service(*[reply(status=BUSY, Retry_After="0")] * 6, reply(), attempts=7)
    service.ask()
    for number, pause in enumerate(service.pauses, start=1):
        assert 2.0**number / 2 <= pause <= 2.0**number


def test_a_date_to_come_back_at_is_waited_for():
    service = Service(
        reply(status=429, Retry_After=formatdate(time.time() + 60, usegmt=True)), reply()
    )
    service.ask()
    assert 50 < service.pauses[0] <= 60


def test_attempts_end_with_words():
    service = Service(*[reply(status=BUSY)] * 4, attempts=4)
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9.*4 attempts \(status 503\).*some_url"):
        service.ask()
    assert len(service.asked) == 4


def unknown_host() -> requests.ConnectionError:
    error = requests.ConnectionError("no connection")
    error.__cause__ = socket.gaierror("no such host")
    return error


def test_a_name_that_nobody_knows_is_given_up_soon():
    service = Service(*[unknown_host()] * 8)
    with pytest.raises(UserError, match=r"3 attempts \(gaierror: no such host"):
        service.ask()
    assert len(service.asked) == 3
    known = Service(reply(), *[unknown_host()] * 5, reply(), attempts=6)
    known.ask()
    assert known.ask() == (b"whole", "whole")


def test_a_server_that_is_down_when_a_job_starts_is_waited_for():
    service = Service(*[requests.ConnectionError("refused")] * 7, reply())
    assert service.ask() == (b"whole", "whole")


def test_a_server_that_asks_for_hours_ends_the_job_with_words():
    service = Service(reply(status=BUSY, Retry_After="7200"))
    with pytest.raises(UserError, match=r"come back in 2\.0 h"):
        service.ask()


@pytest.mark.parametrize("status", [400, 401, 403, 414, 501, 505])
def test_a_refusal_is_not_tried_again(status):
    service = Service(reply(b"you may not", status=status))
    with pytest.raises(UserError, match=rf"answers {status} Reason: you may not\s.*some_url"):
        service.ask()


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_twice_is_missing(status):
    with pytest.raises(MissingError, match=str(status)):
        Service(reply(status=status), reply(status=status)).ask()
    assert Service(reply(status=status), reply()).ask() == (b"whole", "whole")


@pytest.mark.parametrize(
    "wrong",
    [requests.exceptions.MissingSchema("Invalid URL 'sdss'"), requests.exceptions.InvalidURL()],
)
def test_a_wrong_address_is_the_users(wrong):
    with pytest.raises(UserError, match="Check sdss.some_url"):
        Service(wrong).ask()


def test_unprotected_bytes_count_once_they_came_twice():
    service = Service(reply(b"whole, a bit flipped"), reply(b"whole"), reply(b"whole"))
    assert service.ask(self_checking=False) == (b"whole", "whole")
    assert not service.replies


@pytest.mark.parametrize(
    "protected", [reply(url="https://x/y"), reply(Content_Encoding="gzip")], ids=["TLS", "gzip"]
)
def test_protected_bytes_are_asked_for_once(protected):
    service = Service(protected)
    assert service.ask(self_checking=False)[0] == b"whole"
    assert len(service.asked) == 1


def test_replies_that_never_agree_are_no_reply():
    service = Service(*[reply(b"whole %d" % i) for i in range(20)], attempts=3)
    with pytest.raises(UserError, match="no two of 4 replies agree"):
        service.ask(self_checking=False)


def test_requests_keep_their_distance():
    service = Service(*[reply()] * 4, interval=2.0)
    for _ in range(4):
        service.ask()
    assert service.asked == [0, 2, 4, 6]


def test_a_stopped_client_asks_nothing():
    client = Client(Network(), "sdss.some_url")
    client.stop()
    with pytest.raises(UserError, match="the job is ending"):
        client.ask(reply, read, URL)


def test_a_thread_that_waits_ends_when_the_client_is_stopped():
    client = Client(Network(), "sdss.some_url")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.ask, lambda: reply(status=BUSY, Retry_After="200"), read, URL)
        while client._next < 0:
            time.sleep(0.01)
        client.stop()
        with pytest.raises(UserError):
            waiting.result(5)


def test_a_server_that_wants_peace_gets_it_from_all_threads():
    service = Service(reply(status=429, Retry_After="9"), reply(), reply())
    service.ask()
    service.ask()
    assert service.asked[1] >= 9


@pytest.mark.parametrize("downloads", [1, 3])
def test_no_more_requests_are_open_than_the_settings_allow(downloads):
    client = Client(Network(downloads=downloads), "sdss.some_url")
    lock, now, most = threading.Lock(), [0], [0]

    def send():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return reply()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.ask(send, read, URL, self_checking=True), range(24)))
    assert most[0] == downloads
