"""Atomic writing of files, and reading with errors that name the file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from mgsflow.core.errors import UserError

_CHUNK = 1 << 20  # bytes read at once, as files may be larger than memory
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)\.partial(?P<suffix>(\.[^.]+)?)")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` when the block succeeds.

    The temporary path keeps the suffix, from which many writers infer the format. The block may
    create a file or a folder there. If the block raises, the temporary path is removed and `path`
    is unchanged. Temporary paths of killed processes are removed by the next process that writes
    `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    for left in (temporary, *_left_behind(path.parent.resolve()).pop(path.name, ())):
        remove(left)
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)  # a folder cannot be renamed over one that is not empty
        temporary.replace(path)
    finally:
        remove(temporary)


@cache
def _left_behind(folder: Path) -> dict[str, list[Path]]:
    """Temporary paths of processes that no longer run here, by the names of their final paths.

    The folder is listed only once, when this process first writes there: it may have many files.
    """
    paths = defaultdict(list)
    for path in folder.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_running(int(match["process"])):
            paths[match["stem"] + match["suffix"]].append(path)
    return paths


def _is_running(process: int) -> bool:
    """Whether a process with this number, of any user, is running on this machine."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes. NaN raises ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_facts(path: Path, *keys: str) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError if there is none or one of `keys` is missing."""
    try:
        facts = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the stage that makes it first.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error}). Remove it and rerun its stage.") from None
    absent = [key for key in keys if key not in facts] if isinstance(facts, dict) else ["an object"]
    if absent:
        raise UserError(
            f"{path}: has no {', '.join(absent)}, so it is another stage's file or an older "
            "version's. Rerun the stage that makes it."
        )
    return facts


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return sha256_of(stream)


def sha256_of(stream: IO[bytes], copy: IO[bytes] | None = None) -> str:
    """Hexadecimal SHA-256 of the rest of `stream`, which is written to `copy` as it is read."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()
