"""Files of a server on disk, until they are done with: each is complete or not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mgsflow.core.files import remove
from mgsflow.core.progress import say
from mgsflow.sky.client import BadReplyError, Client

Result = TypeVar("Result")


class Downloads:
    """A folder of files that came from the service of `client`.

    A file gets its name when it is whole and on disk, so that a job that was killed finds what it
    had and nothing half-written. Where its content has no checksum of its own (`self_checking`)
    one lies beside it. `folder` may be shared by many jobs where `keep` is set, else it is this
    job's own; `job` tells the jobs' unfinished files apart.
    """

    def __init__(self, client: Client, folder: Path, job: str, keep: bool) -> None:
        self._client = client
        self._folder = Path(folder)
        self._job = job
        self._keep = keep

    def fetch(
        self,
        url: str,
        name: Path,
        read: Callable[[bytes], Result],
        parameters: Mapping[str, object] | None = None,
        *,
        self_checking: bool = False,
    ) -> Result:
        """What `read` makes of the file `name`: the one on disk, or else of `url`.

        A file on disk that is damaged, or that `read` refuses with BadReplyError, is fetched again.
        Raises as `Client.ask` does.
        """
        path = self._folder / name
        if path.is_file():
            try:
                return read(_whole(path, self_checking))
            except BadReplyError as error:
                say(f"{path}: {error}; fetched again")
        content, result = self._client.get(url, read, parameters, self_checking=self_checking)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self_checking:
            self._store(_digest_path(path), _digest(content).encode())
        self._store(path, content)
        return result

    def drop(self, name: Path) -> None:
        """The file is done with: remove it, unless files are kept."""
        if not self._keep:
            remove(self._folder / name)
            remove(_digest_path(self._folder / name))

    def stop(self) -> None:
        """Let no thread wait for the server any longer."""
        self._client.stop()

    def _store(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{self._job}.part")
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            remove(temporary)


def _whole(path: Path, self_checking: bool) -> bytes:
    content = path.read_bytes()
    beside = _digest_path(path)
    if not self_checking and not (beside.is_file() and beside.read_text() == _digest(content)):
        raise BadReplyError("not as it was written")
    return content


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
