"""The archive of a run: results, locks and source in one RO-Crate that anybody can verify.

The same inputs give the same bytes: names are sorted, times are fixed, and nothing is compressed.
The output of DEFLATE depends on the version of zlib, and compression gains little on the archive's
main formats, Parquet, FITS, HDF5, PNG and safetensors.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from mgsflow.archive.manifest import MANIFEST, format_manifest, is_safe
from mgsflow.archive.metadata import (
    CONFIG,
    METADATA,
    README,
    RESULTS,
    SOURCES,
    Member,
    Run,
    crate_metadata,
)
from mgsflow.archive.readme import readme
from mgsflow.archive.source import licence_year, pins, project, source_files
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path, sha256_of
from mgsflow.core.progress import say, track

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
# Results that a reader may look for and that a run's settings can leave out: description, pattern.
_OPTIONAL = {"the posterior draws": "posteriors/*.h5", "the stamps": "stamps/*"}


@dataclass(frozen=True)
class _Text:
    """A file of the archive that is generated here and exists nowhere else."""

    data: bytes

    def open(self, mode: str = "rb") -> IO[bytes]:
        return io.BytesIO(self.data)


def archive(*, files: list[Path], root: Path, repository: Path, out: Path) -> None:
    """Pack the results `files` of the folder `root`, results/RUN, and their source into `out`.

    The archive is an RO-Crate 1.1 in a zip. Below results/ it has the files in the same layout as
    below `root`; below source/ it has the source and the locks of its environments, as in
    `repository`. manifest-sha256.txt lists the SHA-256 of each file. The files must include
    root/config.yaml, the run's settings.
    """
    held = _results(files, root)
    held |= {f"{SOURCES}/{p.as_posix()}": repository / p for p in source_files(repository)}
    _check_names(held)
    run = _describe(root, held[CONFIG], repository)
    contents: dict[str, Path | _Text] = dict(held)
    contents[README] = _Text(readme(run, _absent(held)).encode())
    members = [_member(name, contents[name]) for name in track(sorted(contents), "digest")]
    contents[METADATA] = _Text(crate_metadata(run, members))
    members.append(_member(METADATA, contents[METADATA]))
    digests = {member.name: member.sha256 for member in members}
    contents[MANIFEST] = _Text(format_manifest(digests).encode())
    with atomic_path(out) as temporary:
        _write_zip(temporary, contents, digests)
    say(f"archive: {len(contents)} files, {out.stat().st_size / 1e6:.1f} MB")


def _results(files: list[Path], root: Path) -> dict[str, Path]:
    """The results to pack, by their names in the archive."""
    inside = {_relative(path, root): path for path in files}
    if Path("config.yaml") not in inside:
        raise UserError(
            f"--files: {root}/config.yaml, the run's settings, is not among them; without it the "
            "run cannot be repeated. Add it."
        )
    return {f"{RESULTS}/{path.as_posix()}": inside[path] for path in inside}


def _relative(path: Path, root: Path) -> Path:
    """`path` relative to `root`, without resolving links: results may be a link to another disk."""
    try:
        relative = Path(os.path.abspath(path)).relative_to(os.path.abspath(root))  # noqa: PTH100
    except ValueError:
        raise UserError(
            f"--files: {path} does not lie in --root {root}; the archive holds one run's results"
        ) from None
    if not path.is_file():
        raise UserError(f"--files: {path} is not a file. Run the stage that makes it first.")
    return relative


def _check_names(names: Mapping[str, Path]) -> None:
    wrong = sorted(repr(name) for name in names if not is_safe(name))
    if wrong:
        raise UserError(
            f"{', '.join(wrong)}: a name with a backslash or a character that cannot be printed "
            "is not the same on every system. Rename it or remove it."
        )


def _describe(root: Path, config: Path, repository: Path) -> Run:
    settings = _read_settings(config)
    return Run(
        name=str(settings.get("run", root.name)),
        sky=str(settings.get("sky", "")),
        year=licence_year(repository),
        project=project(repository),
        pins=pins(repository),
    )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({error}). Remove it and rerun.") from None
    if not isinstance(settings, dict) or "sky" not in settings or "run" not in settings:
        raise UserError(
            f"{path}: has no keys `run` and `sky`, so it is not a run's settings. Remove it and "
            "rerun."
        )
    return settings


def _absent(held: Mapping[str, Path]) -> list[str]:
    """Descriptions of the optional results that the archive does not hold."""
    return [
        words
        for words, pattern in _OPTIONAL.items()
        if not any(Path(name).match(f"{RESULTS}/{pattern}") for name in held)
    ]


def _member(name: str, content: Path | _Text) -> Member:
    with content.open("rb") as stream:
        sha256 = sha256_of(stream)
        return Member(name, sha256, stream.tell())


def _write_zip(
    path: Path, contents: Mapping[str, Path | _Text], digests: Mapping[str, str]
) -> None:
    """Write the zip, sorted by name. Raises UserError if a file has changed since its digest."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name in track(sorted(contents), "pack"):
            content = contents[name]
            info = _zip_entry(name, content)
            with content.open("rb") as stream, packed.open(info, "w") as target:
                sha256 = sha256_of(stream, copy=target)
            if sha256 != digests.get(name, sha256):
                raise UserError(
                    f"{content}: changed while it was being packed. Wait until the run has ended, "
                    "then repeat."
                )


def _zip_entry(name: str, content: Path | _Text) -> zipfile.ZipInfo:
    """A zip's entry. Of the file's mode it keeps only the executable bit, as git does."""
    program = isinstance(content, Path) and bool(content.stat().st_mode & stat.S_IXUSR)
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3  # Unix, wherever it is packed
    info.external_attr = (stat.S_IFREG | (0o755 if program else 0o644)) << 16
    # zipfile must know the size in advance, to choose the format for large files
    info.file_size = len(content.data) if isinstance(content, _Text) else content.stat().st_size
    return info
