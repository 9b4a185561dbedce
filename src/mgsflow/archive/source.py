"""The source that made a run: which files of the repository its archive holds."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mgsflow.core.errors import UserError

# Everything that `make env` and snakemake need. Tests and documents stay in the repository, and a
# site's own profile, with its account and its folders, stays at the site.
SOURCE = (
    "Snakefile",
    "config.yaml",
    "config",
    "workflow",
    "envs",
    "profiles/local",
    "profiles/slurm",
    "profiles/test",
    "src",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "Makefile",
)
# Built containers, or a link to their folder, which may be broken inside a container;
# envs/images.lock has their digests.
_IMAGES = Path("envs/images")
_MADE_SUFFIXES = (".pyc", ".pyo", ".egg-info", ".sif")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")


def source_files(repository: Path) -> list[Path]:
    """The source's files, sorted, relative to `repository`: no caches, nothing hidden or built.

    Raises UserError if a part is missing, because the run could not be repeated without it.
    """
    absent = [name for name in SOURCE if not (repository / name).exists()]
    if absent:
        raise UserError(
            f"--repository {repository}: has no {', '.join(absent)}. Give the top folder of a "
            "complete checkout of mgsflow's repository."
        )
    paths = [path for name in SOURCE for path in _walk(repository / name)]
    relative = (path.relative_to(repository) for path in paths)
    return sorted(path for path in relative if _IMAGES not in (path, *path.parents))


def _walk(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
    for folder, subfolders, files in os.walk(top):
        subfolders[:] = [name for name in subfolders if not _is_made(name)]
        yield from (Path(folder) / name for name in files if not _is_made(name))


def _is_made(name: str) -> bool:
    """Whether a file or folder is hidden or generated from others."""
    return name.startswith(".") or name == "__pycache__" or name.endswith(_MADE_SUFFIXES)


def pins(repository: Path) -> dict[str, dict[str, str]]:
    """Versions by package for each environment, as the locks in envs/ pin them."""
    locks = sorted((repository / "envs").glob("*.lock"))
    return {lock.stem: dict(_read_pins(lock)) for lock in locks}


def _read_pins(lock: Path) -> Iterator[tuple[str, str]]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if match:
            yield match[1].lower(), match[2]


def project(repository: Path) -> dict[str, str]:
    """Name, version, description and licence of the source, from its pyproject.toml."""
    path = repository / "pyproject.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    keys = ("name", "version", "description", "license")
    absent = [key for key in keys if not isinstance(table.get(key), str)]
    if absent:
        raise UserError(f"{path}: [project] has no text for {', '.join(absent)}")
    return {key: table[key] for key in keys}


def licence_year(repository: Path) -> str:
    """The year of the licence: the only date that does not depend on when the run was packed."""
    path = repository / "LICENSE"
    match = re.search(r"\b(?:19|20)\d\d\b", path.read_text(encoding="utf-8"))
    if match is None:
        raise UserError(f"{path}: names no year; expected a line such as: Copyright (c) 2026 NAME")
    return match[0]
