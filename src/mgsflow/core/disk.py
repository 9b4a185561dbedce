"""Faults of the disk, told from our own and said in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from mgsflow.core.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large")


def disk_fault(error: BaseException, paths: Iterable[Path]) -> str | None:
    """What to do where a disk is full or may not be written; None where the fault is another.

    Of the file systems that hold `paths` the one with the least room is named.
    """
    if _is_full(error):
        return _describe_full(paths)
    if isinstance(error, PermissionError):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return f"{what}. Change its rights, or name another place."
    return None


def refuse_without_room(path: Path, size: int) -> None:
    """Raise UserError where a file of `size` bytes does not go where `path` is to lie.

    A quota may be less than what the file system has free: that shows in writing alone.
    """
    free, folder = free_space(path)
    if size > free:
        raise UserError(
            f"{path}: takes {size / 1e9:,.1f} GB, and {folder} has {free / 1e9:,.1f} GB free. Make "
            "room, or name another place."
        )


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is that of a full disk, a quota or a file limit.

    HDF5 and Arrow raise errors of their own that only quote the system's.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(text in str(error) for text in _TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _describe_full(paths: Iterable[Path]) -> str:
    free = sorted({free_space(path) for path in paths})
    where = f"{free[0][1]} has {free[0][0] / 1e6:,.0f} MB free" if free else "see `df`"
    return (
        f"the disk is full, or a quota or limit of file size is reached: {where}. What is "
        "complete is kept, and nothing half-written is taken for it: make room and run again."
    )


def free_space(path: Path) -> tuple[int, Path]:
    """Bytes free where `path` lies or is to lie, and the folder, which exists, that was asked."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free, path
