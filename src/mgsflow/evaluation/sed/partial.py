"""Finished fits of an interrupted run: each galaxy takes about a minute, and a run has many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgsflow.core.files import read_json, remove, write_json
from mgsflow.core.fingerprint import fingerprint


class Partial:
    """Rows of single galaxies in `folder`, identified by their data, settings and code.

    Keep `folder` outside a rule's declared outputs, which Snakemake deletes before the rule runs.
    """

    def __init__(self, folder: Path, *settings: Any) -> None:
        self._folder = Path(folder)
        self._settings = settings

    def load(self, *data: Any) -> list[dict[str, Any]] | None:
        """The rows of the galaxy with these data, or None if it is not fitted yet."""
        path = self._path(data)
        return read_json(path) if path.exists() else None

    def save(self, rows: list[dict[str, Any]], *data: Any) -> None:
        write_json(self._path(data), rows)

    def clear(self) -> None:
        """Remove all rows: the stage has written its output."""
        remove(self._folder)

    def _path(self, data: tuple[Any, ...]) -> Path:
        return self._folder / f"{fingerprint(*self._settings, *data)[:24]}.json"
