"""Downloaded files, kept on disk while they are needed: each is either complete or absent."""

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
    """A folder of files downloaded from the service of `client`.

    A file gets its name when it is complete and on disk, so that after a kill a job finds its files
    and no partial ones. If the content has no checksum of its own (`self_checking`), a checksum is
    stored beside it. If `keep` is set, many jobs may share `folder`; otherwise it belongs to this
    job. `job` distinguishes the jobs' unfinished files.
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
        """The result of `read` for the file `name`, from disk or else from `url`.

        A file on disk is fetched again if it is damaged or if `read` rejects it with BadReplyError.
        Raises the same errors as `Client.ask`.
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
        """Remove a file that is no longer needed, unless files are kept."""
        if not self._keep:
            remove(self._folder / name)
            remove(_digest_path(self._folder / name))

    def stop(self) -> None:
        """Stop all waiting for the server."""
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
