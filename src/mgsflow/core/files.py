"""Files: written whole or not at all, and read with errors that name them."""

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

_CHUNK = 1 << 20  # bytes read at once: files may be larger than the memory
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)\.partial(?P<suffix>(\.[^.]+)?)")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` when the block succeeds.

    The temporary name keeps the suffix, by which many writers choose the format. It may be made
    a file or a folder. When the block raises, it is removed and `path` stays as it was; what a
    process left that was killed is removed by the next one that writes `path`.
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
    """Temporary paths of processes that do not run here, by the name of what they were to be.

    As the folder was when this process first wrote there: it may have very many files.
    """
    found = defaultdict(list)
    for path in folder.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_running(int(match["process"])):
            found[match["stem"] + match["suffix"]].append(path)
    return found


def _is_running(process: int) -> bool:
    """Whether a process of this number, of whatever user, runs on this machine."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_facts(path: Path, *keys: str) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError without one, or if it lacks one of `keys`."""
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
    """Hexadecimal SHA-256 of what is left in `stream`, which is written to `copy` as it is read."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()
