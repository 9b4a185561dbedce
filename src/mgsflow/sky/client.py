"""A polite HTTP client for all of SDSS's services, which accepts only valid replies.

It waits between requests, respects Retry-After, repeats requests that may succeed later, and
requests data twice if nothing else would show that bytes were changed on the way.
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
_RETRY_STATUS = frozenset({408, 425, 429})  # and 500 and above, except these:
_FINAL_STATUS = frozenset({501, 505})
_GONE = frozenset({404, 410})
_GONE_ATTEMPTS = 2  # replies that say so before something counts as missing
_LONGEST_WAIT = 300.0  # seconds, unless the server asks for more
_LONGEST_RETRY_AFTER = 3600.0  # seconds
_FIRST_ATTEMPTS = 3  # at a host name that cannot be resolved, which may be misspelt
_WRONG_ADDRESS = (
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)


class BadReplyError(Exception):
    """A reply that is not the requested data: truncated, damaged, or an error page."""


class MissingError(Exception):
    """The server says that the resource does not exist (404, 410): retrying is useless."""


class _TransientError(Exception):
    """No usable reply this time; `wait` is the delay that the server requested, in seconds."""

    def __init__(
        self, message: str, wait: float | None = None, gone: bool = False, unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.gone = gone  # the server says that the resource does not exist
        self.unknown = unknown  # the name service does not know the server


class Client:
    """A client of one service, which several threads may use.

    `interval` (s) is the minimum time between the starts of two requests, `timeout` (s) the maximum
    time without data; `settings` names the keys of the configuration with the address. `sleep` and
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
        """The bytes at `url`, and the result of `read` for them: see `ask`."""

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
        """The reply to `send`, and the result of `read` for it; `what` names it for the user.

        A request is repeated if it fails or if `read` rejects its reply with BadReplyError. Bytes
        without TLS, gzip or a checksum of their own (`self_checking`) are accepted only after they
        arrived identically twice. Raises MissingError if the server says twice that the resource
        does not exist, and UserError if the attempts are used up or a further one is useless.
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
        """Stop all waiting: further requests fail at once."""
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
            raise UserError(f"{what}: not requested, since the job is ending")
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
        """Delay the next request of every thread by the time that the server requested."""
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
        # random, so that many jobs do not return at the same time
        wait = self._backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
        wait = min(wait, _LONGEST_WAIT)
        if fault.wait is not None:
            if fault.wait > _LONGEST_RETRY_AFTER:
                raise UserError(
                    f"{what}: the server asks to come back in {fault.wait / 3600:.1f} h ({fault}). "
                    "Run again then: what is complete is kept."
                )
            self._hold_back(fault.wait)
            # possibly 0: the server may say so, or name a time that has passed on our clock
            wait = max(wait, fault.wait)
        say(f"{what}: {fault}; attempt {failures + 1} of {attempts} in {wait:.0f} s")
        self._sleep(wait)


def _read(content: bytes, read: Callable[[bytes], Result]) -> Result:
    try:
        return read(content)
    except BadReplyError as error:
        raise _TransientError(str(error)) from None


def _is_protected(reply: requests.Response) -> bool:
    """Whether TLS or gzip protects the bytes. TCP's own checksum misses one error in 65,536."""
    return reply.url.startswith("https:") or "gzip" in reply.headers.get("Content-Encoding", "")


def _root(error: BaseException) -> BaseException:
    """The cause of an error of requests, which wraps others three levels deep."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def _retry_after(reply: requests.Response) -> float | None:
    """The delay in seconds that the server requests, in seconds or as a date."""
    value = reply.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
