"""SkyServer's SQL service: a polite client that takes nothing for a reply that is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests
from astroquery.sdss import SDSS, conf

from mgsflow.config import Sdss
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say

Result = TypeVar("Result")
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 300.0  # seconds
_SQL_ERRORS = ("sql statement", "syntax", "invalid object name", "invalid column name")
_ADVICE = "Check sdss.skyserver_url and sdss.data_release, or run again later: nothing is lost."


class _TransientError(Exception):
    """No usable reply this time; `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class SkyServer:
    """Asks queries one after the other, no faster than the settings allow.

    `sleep` and `clock` are those of `time`, replaced in tests.
    """

    def __init__(
        self,
        sdss: Sdss,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sdss = sdss
        self._sleep = sleep
        self._clock = clock
        self._last = -float("inf")

    def ask(self, sql: str, read: Callable[[str], Result]) -> tuple[str, Result]:
        """The reply to `sql` as it came, and what `read` makes of it.

        A reply that `read` refuses with UserError (an HTML page with status 200, rows cut off) is
        asked for again, as is one that fails. Raises UserError when `sdss.attempts` are used up,
        or at once where the server says that the query itself is wrong.
        """
        for attempt in range(1, self._sdss.attempts + 1):
            try:
                text = self._fetch(sql)
                return text, self._read(text, read)
            except _TransientError as error:
                fault = error
            if attempt < self._sdss.attempts:
                self._pause(attempt, fault)
        raise UserError(
            f"{self._sdss.skyserver_url}: no usable reply in {self._sdss.attempts} attempts "
            f"({fault}). {_ADVICE}"
        )

    def _read(self, text: str, read: Callable[[str], Result]) -> Result:
        try:
            return read(text)
        except UserError as error:
            beginning = text.lstrip()[:2000].lower()
            if "<html" not in beginning and any(word in beginning for word in _SQL_ERRORS):
                raise UserError(
                    f"{self._sdss.skyserver_url} refuses the query: {text.strip()[:500]}\n"
                    f"Has data release {self._sdss.data_release} these tables and columns?"
                ) from None
            raise _TransientError(str(error)) from None

    def _fetch(self, sql: str) -> str:
        self._sleep(max(0.0, self._last + self._sdss.request_interval - self._clock()))
        try:
            with conf.set_temp("skyserver_baseurl", self._sdss.skyserver_url.rstrip("/")):
                reply = SDSS.query_sql_async(
                    sql,
                    timeout=self._sdss.timeout,
                    data_release=self._sdss.data_release,
                    cache=False,
                )
        except (requests.RequestException, OSError) as error:
            raise _TransientError(str(error)) from None
        finally:
            self._last = self._clock()
        _check_status(reply)
        return reply.content.decode("utf-8", errors="replace")

    def _pause(self, attempt: int, fault: _TransientError) -> None:
        wait = self._sdss.request_interval * 2.0**attempt if fault.wait is None else fault.wait
        wait = min(wait, _LONGEST_WAIT)
        say(f"SkyServer: {fault}; attempt {attempt + 1} in {wait:.0f} s")
        self._sleep(wait)


def _check_status(reply: requests.Response) -> None:
    if reply.status_code in _RETRY_STATUS:
        raise _TransientError(f"status {reply.status_code}", _retry_after(reply))
    if reply.status_code != requests.codes.ok:
        raise UserError(
            f"{reply.url.split('?')[0]}: the server answers {reply.status_code} {reply.reason}: "
            f"{reply.text.strip()[:300]}\n{_ADVICE}"
        )


def _retry_after(reply: requests.Response) -> float | None:
    """Seconds that the server asks to wait, where it says so in seconds."""
    try:
        return max(0.0, float(reply.headers.get("Retry-After", "")))
    except ValueError:
        return None
