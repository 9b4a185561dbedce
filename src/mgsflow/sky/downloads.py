"""Files of a server on disk, until they are done with: each is complete or not there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mgsflow.core.files import remove
from mgsflow.core.progress import say
from mgsflow.sky.client import BadReplyError, Client

Result = TypeVar("Result")


class Downloads:
    """A folder of files that came from the service of `client`.

    A file is written below `partial` first and gets its name below `folder` when it is whole, so
    that a job that was killed finds what it had and nothing half-written. `folder` may be shared by
    many jobs where `keep` is set, else it is this job's own.
    """

    def __init__(self, client: Client, folder: Path, partial: Path, keep: bool) -> None:
        self._client = client
        self._folder = Path(folder)
        self._partial = Path(partial)
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

        A file on disk that `read` refuses with BadReplyError is fetched again. Raises as
        `Client.ask` does.
        """
        path = self._folder / name
        if path.is_file():
            try:
                return read(path.read_bytes())
            except BadReplyError as error:
                say(f"{path}: {error}; fetched again")
        content, result = self._client.get(url, read, parameters, self_checking=self_checking)
        self._store(path, content)
        return result

    def drop(self, name: Path) -> None:
        """The file is done with: remove it, unless files are kept."""
        if not self._keep:
            remove(self._folder / name)

    def stop(self) -> None:
        """Let no thread wait for the server any longer."""
        self._client.stop()

    def _store(self, path: Path, content: bytes) -> None:
        self._partial.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._partial / f"{threading.get_ident()}.part"
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            remove(temporary)
