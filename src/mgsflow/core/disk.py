"""Faults of the disk, distinguished from our own and described for the user."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from mgsflow.core.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large")


def disk_fault(error: BaseException, paths: Iterable[Path]) -> str | None:
    """What to do if a disk is full or not writable; None if the error has another cause.

    The text names the file system with the least free space among those that hold `paths`.
    """
    if _is_full(error):
        return _describe_full(paths)
    if isinstance(error, PermissionError):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return f"{what}. Change its permissions, or choose another place."
    return None


def refuse_without_room(path: Path, size: int) -> None:
    """Raise UserError if there is no room for a file of `size` bytes at `path`.

    A quota may be smaller than the free space of the file system: only writing shows that.
    """
    free, folder = free_space(path)
    if size > free:
        raise UserError(
            f"{path}: takes {size / 1e9:,.1f} GB, and {folder} has {free / 1e9:,.1f} GB free. Free "
            "some space, or choose another place."
        )


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or a cause of it, is a full disk, a quota or a limit of file size.

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
        f"the disk is full, or a quota or limit of file size is reached: {where}. Complete files "
        "are kept, and partial files are never used: free some space and run again."
    )


def free_space(path: Path) -> tuple[int, Path]:
    """Free bytes at `path`, which need not exist, and the existing folder that was examined."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free, path
