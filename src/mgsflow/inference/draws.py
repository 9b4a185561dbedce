"""Posterior draws on disk: `posteriors/VARIANT.h5`, in the layout of docs/contracts.md."""

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
    """The posteriors of one set's galaxies. Lines are in log1p, other targets in their own units.

    Attributes
    ----------
    objid : (n,) int64
    draws : (n, members, draws, targets) float32, memory-mapped, read-only
    mean_head : (n, members, targets) float32, the predictions of the regression heads
    truth : (n, targets) float64, NaN where missing
    measurable : (n, members) float32, the probability that metallicity is measurable;
        None where it is not modelled
    targets : names, in the order of the last axis
    variant : the name of the variant
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
        """Index of `target` on the last axis. Raises UserError if it was not inferred."""
        if target not in self.targets:
            raise UserError(
                f"posteriors of {self.variant} have no {target}; they have {self.targets}"
            )
        return self.targets.index(target)


def read_posterior(path: Path, set: str) -> PosteriorSet:
    """The posteriors of `set` ("validation" or "test") in the file `path`.

    Raises UserError if the file is missing, is not HDF5, or has no such set.
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
    """Variant and posteriors of `set` in each file, with one file at a time in memory.

    Raises UserError if two files hold posteriors of the same variant.
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
    """A contiguous dataset as a memory map, without a copy in the process's own memory.

    A run's draws take gigabytes; the system may reclaim the pages of a map. Reading a block of
    galaxies touches only that block, but reading one target of all galaxies touches every page.
    """
    offset = dataset.id.get_offset()
    if offset is None:  # empty or chunked
        return dataset[:]
    return np.asarray(np.memmap(path, dataset.dtype, "r", offset, dataset.shape))


def begin_file(file: h5py.File, targets: list[str], variant: str) -> None:
    """Write the attributes that all sets share into an empty file."""
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
    """Create a set's group; `draws`, `mean_head` and (if `detects`) `measurable` are unfilled.

    The caller fills them slice by slice, so that a run's draws are never all in memory.
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
