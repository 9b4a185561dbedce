"""The list of an archive's files and their SHA-256, in the format of `sha256sum`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

from mgsflow.core.errors import UserError

MANIFEST = "manifest-sha256.txt"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def is_safe(name: str) -> bool:
    """Whether `name` stays inside the folder that an archive is unpacked to, on any system.

    Names that `sha256sum` would have to escape (backslash, line breaks) count as unsafe as well.
    """
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and name.isprintable()
        and "\\" not in name
        and not path.is_absolute()
        and not PureWindowsPath(name).drive
        and ".." not in path.parts
        and path.as_posix() == name
    )


def format_manifest(digests: Mapping[str, str]) -> str:
    """The manifest, sorted by name, in the format that `sha256sum -c` reads."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def parse_manifest(data: bytes, source: str) -> dict[str, str]:
    """SHA-256 by file name. Raises UserError that names the faulty line of `source`."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{source}: not text in UTF-8, so it is damaged: {AGAIN}") from None
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in digests:
            raise UserError(
                f"{source}, line {number}: expected the SHA-256 of a file not yet named, two "
                f"spaces and its name, not {line[:120]!r}. The manifest is damaged: {AGAIN}"
            )
        if not is_safe(match[2]):
            raise UserError(
                f"{source}, line {number}: {match[2]!r} leads out of the archive. mgsflow writes "
                "no such name: do not unpack or use this archive."
            )
        digests[match[2]] = match[1]
    if not digests:
        raise UserError(f"{source}: names no file. The manifest is damaged: {AGAIN}")
    return digests


AGAIN = "get the archive again from where it was published."
