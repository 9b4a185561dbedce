"""Verification of an archive, packed or unpacked, file by file."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mgsflow.archive.manifest import AGAIN, MANIFEST, is_safe, parse_manifest
from mgsflow.core.errors import UserError
from mgsflow.core.files import sha256_of
from mgsflow.core.progress import track

# Exceptions that zipfile raises for a damaged zip: the damage can affect any of its fields.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression method that mgsflow's archives do not use
    OSError,
    OverflowError,
    RuntimeError,  # flagged as encrypted
    ValueError,
)


@dataclass(frozen=True)
class _Archive:
    """An archive's files, packed or unpacked: their names, and a function that opens one."""

    path: Path
    names: list[str]
    open: Callable[[str], IO[bytes]]


def verify(*, path: Path) -> None:
    """Verify an archive that `mgsflow archive` made: the zip, or the folder it was unpacked to.

    The SHA-256 of each file is computed and compared with the manifest's. Each missing, altered or
    extra file is named, and if there are any the exit code is 2. Nothing is unpacked or changed.
    """
    if path.is_dir():
        _verify(_folder(path))
    elif path.is_file():
        with _open_zip(path) as packed:
            _verify(_zip(path, packed))
    else:
        raise UserError(f"{path}: no such file or folder. Name an archive or its unpacked folder.")


def _verify(archive: _Archive) -> None:
    data = _manifest(archive)
    expected = parse_manifest(data, f"{archive.path}: {MANIFEST}")
    problems = _problems(archive, expected)
    if problems:
        listing = "\n".join(f"  {line}" for line in problems)
        raise UserError(f"{archive.path}: not as archived:\n{listing}\nTo repair it, {AGAIN}")
    print(f"{archive.path}: {len(expected)} files verified; none is missing, altered or extra")
    print(f"SHA-256 of {MANIFEST}: {sha256_of(io.BytesIO(data))}")


def _manifest(archive: _Archive) -> bytes:
    if MANIFEST not in archive.names:
        raise UserError(
            f"{archive.path}: has no {MANIFEST} in its top folder, so it is not an archive of "
            f"mgsflow, or the manifest was lost: {AGAIN}"
        )
    try:
        with archive.open(MANIFEST) as stream:
            return stream.read()
    except _DAMAGE as error:
        raise UserError(
            f"{archive.path}: {MANIFEST} cannot be read ({error}). The archive is damaged: {AGAIN}"
        ) from None


def _problems(archive: _Archive, expected: dict[str, str]) -> list[str]:
    """One line for each file that differs from the manifest."""
    counts = Counter(archive.names)
    problems = [f"missing: {name}" for name in sorted(expected.keys() - counts.keys())]
    for name in track(sorted(expected.keys() & counts.keys()), "verify"):
        problems += _altered(archive, name, expected[name])
    for name, count in sorted(counts.items()):
        if name != MANIFEST and name not in expected:
            problems.append(f"extra: {name if is_safe(name) else f'{name!r}, an unsafe name'}")
        elif count > 1:
            problems.append(f"extra: {name}, which is there {count} times")
    return problems


def _altered(archive: _Archive, name: str, expected: str) -> list[str]:
    try:
        with archive.open(name) as stream:
            sha256 = sha256_of(stream)
    except _DAMAGE as error:
        return [f"altered: {name}, which cannot be read ({error})"]
    return [] if sha256 == expected else [f"altered: {name}"]


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGE as error:
        with path.open("rb") as stream:
            begins_as_zip = stream.read(2) == b"PK"
        if begins_as_zip:
            fault = f"a damaged zip ({error}), perhaps cut short on its way here: {AGAIN}"
        else:
            fault = "not a zip. Name an archive, RUN.crate.zip, or the folder it was unpacked to."
        raise UserError(f"{path}: {fault}") from None


def _zip(path: Path, packed: zipfile.ZipFile) -> _Archive:
    # other tools add entries for folders, which have no content
    names = [n for n in packed.namelist() if not (n.endswith("/") and is_safe(n[:-1]))]
    return _Archive(path, names, packed.open)


def _folder(path: Path) -> _Archive:
    names = []
    for folder, subfolders, files in os.walk(path):
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        names += [(Path(folder) / name).relative_to(path).as_posix() for name in files + links]

    def open_plain(name: str) -> IO[bytes]:
        if (path / name).is_symlink() or not (path / name).is_file():
            raise OSError("not a plain file")
        return (path / name).open("rb")

    return _Archive(path, names, open_plain)
