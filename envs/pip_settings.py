"""Write pip's settings of this machine into FOLDER, for pip inside an image's build.

FOLDER becomes /mnt there. Of files and folders that the settings name (a certificate bundle,
wheels, a local index) `FOLDER/binds` has one `SOURCE:/mnt/NUMBER` a line. Nothing of it stays in
the image.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

INSIDE = Path("/mnt")
INDEXES = ("index-url", "extra-index-url")


def settings() -> dict[tuple[str, str], str]:
    """Value by section and key: of pip's configuration files and, over them, of PIP_* variables."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    if listed.returncode != 0:
        sys.exit(f"{sys.executable} has no pip to ask for this machine's settings: {listed.stderr}")
    found, variables = {}, {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section == ":env:":
            variables["global", key] = ast.literal_eval(value)
        elif key != "cache-dir":
            found[section, key] = ast.literal_eval(value)
    return found | variables


def inside(key: str, word: str, folders: dict[Path, Path]) -> str:
    """A word of a setting as it reads inside; a path of this machine joins `folders`."""
    scheme = "file://" if word.startswith("file://") else ""
    path = Path(word.removeprefix(scheme))
    if not path.is_absolute() or not path.exists():
        return word
    # The pages of a local index link to files beside it.
    top = path.parent if key in INDEXES else path
    at = folders.setdefault(top, INSIDE / str(len(folders)))
    return scheme + str(at / path.relative_to(top))


def write(folder: Path) -> None:
    folders: dict[Path, Path] = {}
    sections: dict[str, list[str]] = {}
    for (section, key), value in settings().items():
        words = " ".join(inside(key, word, folders) for word in value.split())
        sections.setdefault(section, []).append(f"{key} = {words}")
    lines = [line for name, keys in sections.items() for line in (f"[{name}]", *keys)]
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")
    (folder / "binds").write_text("".join(f"{top}:{at}\n" for top, at in folders.items()))
    for top, at in folders.items():  # what is bound needs something to be bound to
        point = folder / at.name
        point.mkdir() if top.is_dir() else point.touch()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
