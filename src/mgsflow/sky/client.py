"""A polite HTTP client that takes nothing for a reply that is none: for all of SDSS's services.

It waits between requests, heeds Retry-After, tries again what may go better next time, and asks
twice where nothing else would show that bytes were changed on the way.
"""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

import requests

from mgsflow import __version__
from mgsflow.config import Network
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say

Result = TypeVar("Result")
_RETRY_STATUS = frozenset({408, 425, 429})  # and 500 on, but for these:
_FINAL_STATUS = frozenset({501, 505})
_GONE = frozenset({404, 410})
_GONE_ATTEMPTS = 2  # before something is believed not to be there
_LONGEST_WAIT = 300.0  # seconds, unless the server asks for more
_LONGEST_ASKED = 3600.0
_FIRST_ATTEMPTS = 3  # at a name that nobody knows: it may be misspelt
_WRONG_ADDRESS = (
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)


class BadReplyError(Exception):
    """A reply that is not what was asked for: cut off, damaged, a page in place of data."""


class MissingError(Exception):
    """The server says that there is no such thing (404, 410): asking again is no use."""


class _TransientError(Exception):
    """No usable reply this time; `wait` is what the server asked for, in seconds."""

    def __init__(
        self, message: str, wait: float | None = None, gone: bool = False, unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.gone = gone  # there is no such thing, the server says
        self.unknown = unknown  # there is no such server, the name service says


class Client:
    """Asks one service, from several threads if need be.

    `interval` (s) is the least time between the starts of two requests, `timeout` (s) the longest
    silence; `settings` names the keys of the configuration that hold the address. `sleep` and
    `clock` are replaced in tests.
    """

    def __init__(
        self,
        network: Network,
        settings: str,
        *,
        interval: float = 0.0,
        timeout: float | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout = network.image_timeout if timeout is None else timeout
        self._attempts = network.attempts
        self._backoff = network.backoff
        self._settings = settings
        self._interval = interval
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._clock = clock
        self._turn = threading.Lock()
        self._next = -float("inf")
        self._open = threading.BoundedSemaphore(network.downloads)
        self._answered = False
        self._local = threading.local()

    def get(
        self,
        url: str,
        read: Callable[[bytes], Result],
        parameters: Mapping[str, object] | None = None,
        *,
        self_checking: bool = False,
    ) -> tuple[bytes, Result]:
        """The bytes at `url`, and what `read` makes of them: see `ask`."""

        def send() -> requests.Response:
            return self._session().get(url, params=parameters, timeout=self.timeout)

        return self.ask(send, read, url, self_checking=self_checking)

    def ask(
        self,
        send: Callable[[], requests.Response],
        read: Callable[[bytes], Result],
        what: str,
        *,
        self_checking: bool = False,
    ) -> tuple[bytes, Result]:
        """The reply to `send`, and what `read` makes of it; `what` names it to the user.

        A request that fails, or whose reply `read` refuses with BadReplyError, is tried again.
        Bytes that came without TLS, gzip or a checksum of their own (`self_checking`) count once
        they came twice. Raises MissingError where the server says twice that there is no such
        thing, and UserError where the attempts are used up or a further one is no use.
        """
        failures, gone, seen = 0, 0, set()
        while True:
            try:
                reply = self._send(send, what)
                result = _read(reply.content, read)
            except _TransientError as fault:
                failures, gone = failures + 1, gone + fault.gone
                if gone == _GONE_ATTEMPTS:
                    raise MissingError(f"{what}: the server answers {fault}") from None
                self._pause(what, failures, fault)
                continue
            digest = hashlib.sha256(reply.content).digest()
            if self_checking or _is_protected(reply) or digest in seen:
                return reply.content, result
            seen.add(digest)
            if len(seen) > self._attempts:
                raise UserError(f"{what}: no two of {len(seen)} replies agree. {self._advice}")

    def stop(self) -> None:
        """Let no thread wait any longer: what it asks for now fails at once."""
        self._stopped.set()

    @property
    def _advice(self) -> str:
        return (
            f"Check {self._settings}, or run again later: what is complete is kept, nothing is "
            "lost."
        )

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["User-Agent"] = f"mgsflow/{__version__}"
        return self._local.session

    def _send(self, send: Callable[[], requests.Response], what: str) -> requests.Response:
        self._await_turn()
        if self._stopped.is_set():
            raise UserError(f"{what}: not asked for, since the job is ending")
        try:
            with self._open:
                reply = send()
        except _WRONG_ADDRESS as error:
            raise UserError(f"{what}: {error} {self._advice}") from None
        except (requests.RequestException, OSError) as error:
            cause = _root(error)
            unknown = isinstance(cause, socket.gaierror)
            raise _TransientError(f"{type(cause).__name__}: {cause}", unknown=unknown) from None
        self._answered = True
        status = f"status {reply.status_code}"
        if reply.status_code in _GONE:
            raise _TransientError(status, gone=True)
        if reply.status_code in _RETRY_STATUS or (
            reply.status_code >= 500 and reply.status_code not in _FINAL_STATUS
        ):
            raise _TransientError(status, _retry_after(reply))
        if reply.status_code != requests.codes.ok:
            raise UserError(
                f"{what}: the server answers {reply.status_code} {reply.reason}: "
                f"{reply.text.strip()[:300]}\n{self._advice}"
            )
        return reply

    def _await_turn(self) -> None:
        with self._turn:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._interval
        if start > now:
            self._sleep(start - now)

    def _hold_back(self, wait: float) -> None:
        """No thread asks again before the server wants to be asked."""
        with self._turn:
            self._next = max(self._next, self._clock() + wait)

    def _pause(self, what: str, failures: int, fault: _TransientError) -> None:
        """Wait before the next attempt, or raise UserError if there is none."""
        misspelt = fault.unknown and not self._answered
        attempts = min(self._attempts, _FIRST_ATTEMPTS) if misspelt else self._attempts
        if failures >= attempts or self._stopped.is_set():
            raise UserError(
                f"{what}: no usable reply in {failures} attempts ({fault}). {self._advice}"
            )
        # a share of chance, so that many jobs do not come back all at once
        wait = self._backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
        wait = min(wait, _LONGEST_WAIT)
        if fault.wait is not None:
            if fault.wait > _LONGEST_ASKED:
                raise UserError(
                    f"{what}: the server asks to come back in {fault.wait / 3600:.1f} h ({fault}). "
                    "Run again then: what is complete is kept."
                )
            self._hold_back(fault.wait)
            # which may be none: the server says so, or names a time that our clock has passed
            wait = max(wait, fault.wait)
        say(f"{what}: {fault}; attempt {failures + 1} of {attempts} in {wait:.0f} s")
        self._sleep(wait)


def _read(content: bytes, read: Callable[[bytes], Result]) -> Result:
    try:
        return read(content)
    except BadReplyError as error:
        raise _TransientError(str(error)) from None


def _is_protected(reply: requests.Response) -> bool:
    """Whether TLS or gzip vouches for the bytes. TCP's own checksum misses one error in 65,536."""
    return reply.url.startswith("https:") or "gzip" in reply.headers.get("Content-Encoding", "")


def _root(error: BaseException) -> BaseException:
    """What is behind an error of requests, which wraps others three deep."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def _retry_after(reply: requests.Response) -> float | None:
    """Seconds that the server asks to wait, which it says in seconds or as a date."""
    asked = reply.headers.get("Retry-After", "")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
