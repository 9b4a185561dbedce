"""Whether the environments' images are the ones that were built, and match this checkout's pins.

`make images` writes one line per image into `envs/images.lock`: its digest, and the digests of the
files that it was built from. Two builds of one definition differ, so each site has its own lock,
beside its images.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mgsflow.core.errors import UserError
from mgsflow.core.files import sha256

LOCK = "images.lock"
FOLDER = "images"
_NOT_A_FILE = ("pip",)  # pip's indexes and flags, which do not depend on the checkout


def check(folder: Path, names: Iterable[str]) -> None:
    """Check the images of the environments `names` against `folder`/images.lock and the pins there.

    `folder` is the checkout's `envs`. Raises UserError, whose last line is a remedy, if the lock or
    an image is missing, if an image is not the one that was built, or if a lock, definition or
    script that it was built from has changed since.
    """
    names = sorted(set(names))
    lock = folder / LOCK
    if not lock.exists():
        raise UserError(f"{lock}: missing, so that no image can be trusted.\n{_remedy(names)}")
    built = _read(lock)
    with ThreadPoolExecutor() as threads:  # hashing releases the interpreter's lock
        faults = list(threads.map(lambda name: _wrong(folder, name, built.get(name)), names))
    if any(faults):
        bad = [name for name, wrong in zip(names, faults, strict=True) if wrong]
        raise UserError(f"{'; '.join(wrong for wrong in faults if wrong)}\n{_remedy(bad)}")


def _remedy(names: list[str]) -> str:
    return f"Build what is missing or has changed: make images IMAGES='{' '.join(names)}'"


def _read(lock: Path) -> dict[str, dict[str, str]]:
    """Digests by file, for each environment."""
    built = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        name, *words = line.split() or ["#"]
        if name.startswith("#"):
            continue
        if not words or not all("=" in word for word in words):
            raise UserError(
                f"{lock}, line {number}: not a line of `make images`, which reads NAME FILE=SHA256 "
                f"...\nRemove the file and build again: make images"
            )
        built[name] = dict(word.split("=", 1) for word in words)
    return built


def _wrong(folder: Path, name: str, built: dict[str, str] | None) -> str:
    """The fault of one environment's image, in words; empty if it has none."""
    image = folder / FOLDER / f"{name}.sif"
    if not image.exists():
        return f"{image}: missing"
    if built is None or image.name not in built:
        return f"{image}: not in {folder / LOCK}"
    changed = _changed(folder, name, built)
    if changed:
        return f"{image}: built from another {' and '.join(changed)} than this checkout's"
    if sha256(image) != built[image.name]:
        return f"{image}: damaged or replaced, its digest is not that of {folder / LOCK}"
    return ""


def _changed(folder: Path, name: str, built: dict[str, str]) -> list[str]:
    """The files that the image was built from and that have changed since."""
    files = {f"{name}.lock", f"{name}.def", *built} - {f"{name}.sif", *_NOT_A_FILE}
    return sorted(file for file in files if _digest(folder / file) != built.get(file))


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty if there is no such file."""
    return sha256(path) if path.exists() else ""
