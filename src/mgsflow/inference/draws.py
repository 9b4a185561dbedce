"""Posterior draws on disk: `posteriors/VARIANT.h5`, as docs/contracts.md lays it out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mgsflow.core.errors import UserError

SETS = ("validation", "test")


@dataclass(frozen=True)
class PosteriorSet:
    """The posteriors of one set's galaxies. Lines are in log1p, everything else in its own unit.

    Attributes
    ----------
    objid : (n,) int64
    draws : (n, members, draws, targets) float32, mapped into memory, not to be written to
    mean_head : (n, members, targets) float32, the regression heads' own predictions
    truth : (n, targets) float64, NaN where missing
    measurable : (n, members) float32, the probability that metallicity is measurable;
        None where it is not modelled
    targets : names, in the order of the last axis
    variant : the inputs' name
    """

    objid: np.ndarray
    draws: np.ndarray
    mean_head: np.ndarray
    truth: np.ndarray
    measurable: np.ndarray | None
    targets: list[str]
    variant: str

    @property
    def members(self) -> int:
        return self.draws.shape[1]

    @property
    def pooled(self) -> np.ndarray:
        """The ensemble's draws as one mixture: (n, members * draws, targets)."""
        n, members, draws, targets = self.draws.shape
        return self.draws.reshape(n, members * draws, targets)

    def column(self, target: str) -> int:
        """Where `target` is on the last axis. Raises UserError if it was not inferred."""
        if target not in self.targets:
            raise UserError(
                f"posteriors of {self.variant} have no {target}; they have {self.targets}"
            )
        return self.targets.index(target)


def read_posterior(path: Path, set: str) -> PosteriorSet:
    """The posteriors of `set` ("validation" or "test") in the file `path`.

    Raises UserError where the file is not there, is not HDF5, or holds no such set.
    """
    try:
        with h5py.File(path, "r") as file:
            if set not in file:
                raise UserError(f"{path}: no set {set!r}; it has {sorted(file)}")
            return _read_set(file, path, set)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run sample-posteriors first.") from None
    except OSError as error:
        raise UserError(
            f"{path}: not a readable HDF5 file ({error}). Remove it and rerun."
        ) from None


def each_variant(paths: list[Path], set: str) -> Iterator[tuple[str, PosteriorSet]]:
    """Variant and posteriors of `set` in each of the files, one at a time in memory.

    Raises UserError where two files hold posteriors of the same variant.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        posterior = read_posterior(path, set)
        if posterior.variant in seen:
            raise UserError(
                f"{path}: holds the posteriors of {posterior.variant}, as does "
                f"{seen[posterior.variant]}. Give one file for each variant."
            )
        seen[posterior.variant] = path
        yield posterior.variant, posterior


def _read_set(file: h5py.File, path: Path, set: str) -> PosteriorSet:
    group = file[set]
    return PosteriorSet(
        objid=group["objid"][:],
        draws=_mapped(group["draws"], path),
        mean_head=group["mean_head"][:],
        truth=group["truth"][:],
        measurable=group["measurable"][:] if "measurable" in group else None,
        targets=json.loads(file.attrs["targets"]),
        variant=str(file.attrs["variant"]),
    )


def _mapped(dataset: h5py.Dataset, path: Path) -> np.ndarray:
    """The numbers of a contiguous dataset, without a copy of them in the process's own memory.

    A run's draws are gigabytes. Their pages are the system's, which may take them back. A block of
    galaxies is read by itself; one target of all galaxies touches every page.
    """
    offset = dataset.id.get_offset()
    if offset is None:  # empty, or in pieces
        return dataset[:]
    return np.asarray(np.memmap(path, dataset.dtype, "r", offset, dataset.shape))


def begin_file(file: h5py.File, targets: list[str], variant: str) -> None:
    """Enter into an empty file what all its sets share."""
    file.attrs["targets"] = json.dumps(targets)
    file.attrs["variant"] = variant


def begin_set(
    file: h5py.File,
    name: str,
    objid: np.ndarray,
    truth: np.ndarray,
    members: int,
    draws: int,
    detects: bool,
) -> h5py.Group:
    """A set's group, with `draws`, `mean_head` and (if `detects`) `measurable` still to be filled.

    They are filled slice by slice, so that a run's draws need never be in memory at once.
    """
    n, targets = truth.shape
    group = file.create_group(name)
    group.create_dataset("objid", data=objid.astype(np.int64))
    group.create_dataset("truth", data=truth.astype(np.float64))
    group.create_dataset("draws", (n, members, draws, targets), np.float32)
    group.create_dataset("mean_head", (n, members, targets), np.float32)
    if detects:
        group.create_dataset("measurable", (n, members), np.float32)
    return group
