"""SkyServer's SQL service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests
from astroquery.sdss import SDSS, conf

from mgsflow.config import Network, Sdss
from mgsflow.core.errors import UserError
from mgsflow.sky.client import BadReplyError, Client, MissingError

Result = TypeVar("Result")
_SQL_ERRORS = ("sql statement", "syntax", "invalid object name", "invalid column name")


class SkyServer:
    """Sends queries one after the other, at most at the rate that the settings allow."""

    def __init__(
        self,
        sdss: Sdss,
        network: Network,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sdss = sdss
        self._client = Client(
            network,
            "sdss.skyserver_url and sdss.data_release",
            interval=network.request_interval,
            timeout=network.query_timeout,
            sleep=sleep,
            clock=clock,
        )

    def ask(self, sql: str, read: Callable[[str], Result]) -> tuple[str, Result]:
        """The reply to `sql`, unchanged, and the result of `read` for it.

        A query is repeated if it fails or if `read` rejects its reply with UserError (an HTML page
        with status 200, truncated rows). Raises UserError when the attempts are used up, or at once
        if the server says that the query itself is wrong.
        """
        what = self._sdss.skyserver_url
        try:
            content, result = self._client.ask(
                lambda: self._send(sql), lambda content: self._read(_text(content), read), what
            )
        except MissingError as error:
            raise UserError(
                f"{error}: it has no SQL service for data release {self._sdss.data_release}. "
                "Check sdss.skyserver_url and sdss.data_release."
            ) from None
        return _text(content), result

    def _send(self, sql: str) -> requests.Response:
        with conf.set_temp("skyserver_baseurl", self._sdss.skyserver_url.rstrip("/")):
            return SDSS.query_sql_async(
                sql,
                timeout=self._client.timeout,
                data_release=self._sdss.data_release,
                cache=False,
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
            raise BadReplyError(str(error)) from None


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")
