"""Verification of an archive, packed or unpacked, file by file."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mgsflow.archive.manifest import AGAIN, MANIFEST, digest, is_safe, parse_manifest
from mgsflow.core.errors import UserError
from mgsflow.core.progress import track

# What zipfile raises for bytes that are no longer a zip's: damage can hit any of its fields.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression method that no archive of ours has
    OSError,
    OverflowError,
    RuntimeError,  # flagged as encrypted
    ValueError,
)


def verify(*, path: Path) -> None:
    """Verify an archive that `mgsflow archive` made: the zip, or the folder it was unpacked to.

    The SHA-256 of each file is computed again and compared with the manifest's. Every file that is
    missing, altered or extra is named, and the exit code is then 2. Nothing is unpacked or changed.
    """
    if path.is_dir():
        digests, problems = _verify_folder(path)
        found = digests[MANIFEST]
    elif path.exists():
        digests, problems = _verify_zip(path)
        found = digests[MANIFEST]
    else:
        raise UserError(f"{path}: no such file or folder. Name an archive or its unpacked folder.")
    if problems:
        listing = "\n".join(f"  {line}" for line in problems)
        raise UserError(f"{path}: not as it was archived:\n{listing}\nTo repair it, {AGAIN}")
    print(f"{path}: {len(digests) - 1} files verified, none missing, altered or extra")
    print(f"SHA-256 of its {MANIFEST}: {found}")


def _verify_zip(path: Path) -> tuple[dict[str, str], list[str]]:
    with _open_zip(path) as archive:
        names = [name for name in archive.namelist() if not (name.endswith("/") and is_safe(name[:-1]))]
        with _damage(path, MANIFEST):
            data = archive.read(MANIFEST) if MANIFEST in names else _no_manifest(path)
        expected = parse_manifest(data, f"{path}: {MANIFEST}")
        problems = [f"{name!r}: extra, more than one file has this name"
                    for name, count in sorted(Counter(names).items()) if count > 1]
        found = {}
        for name in track(sorted(expected.keys() & set(names)), "verify"):
            try:
                with archive.open(name) as stream:
                    found[name] = digest(stream)
            except _DAMAGE as error:
                found[name] = f"cannot be read ({error})"
    problems += _compare(expected, found, names)
    return expected | {MANIFEST: hashlib.sha256(data).hexdigest()}, problems
