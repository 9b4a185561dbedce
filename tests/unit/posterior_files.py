"""Files of posteriors in the layout of docs/contracts.md, and toys whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from mgsflow.inference.draws import PosteriorSet, begin_file, begin_set


def write_posterior(path: Path, variant: str, targets: list[str], **sets: dict) -> Path:
    """Write a file with the groups `sets`, each a dict of the arrays of its datasets."""
    with h5py.File(path, "w") as file:
        file.attrs["targets"] = json.dumps(targets)
        file.attrs["variant"] = variant
        for name, arrays in sets.items():
            group = file.create_group(name)
            for key, value in arrays.items():
                group[key] = value
    return path


def write_posteriors(path: Path, sets: dict[str, PosteriorSet]) -> None:
    """Write whole sets, which share targets and variant, to `path`."""
    first = next(iter(sets.values()))
    with h5py.File(path, "w") as file:
        begin_file(file, first.targets, first.variant)
        for name, given in sets.items():
            members, draws = given.draws.shape[1:3]
            detects = given.measurable is not None
            group = begin_set(file, name, given.objid, given.truth, members, draws, detects)
            group["draws"][:] = given.draws
            group["mean_head"][:] = given.mean_head
            if given.measurable is not None:
                group["measurable"][:] = given.measurable


def gaussian_set(
    centres: np.ndarray,
    truth: np.ndarray,
    *,
    members: int = 2,
    draws: int = 100,
    within: float = 1.0,
    between: float = 0.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Gaussian posteriors about `centres` (n, targets).

    Each member's own centre is off by `between` sigma, its draws scatter by `within`.
    """
    random = np.random.default_rng(seed)
    n, targets = centres.shape
    means = centres[:, None] + between * random.standard_normal((n, members, targets))
    noise = within * random.standard_normal((n, members, draws, targets))
    return {
        "objid": 1237648720000000000 + np.arange(n, dtype=np.int64),
        "draws": (means[:, :, None] + noise).astype(np.float32),
        "mean_head": means.astype(np.float32),
        "truth": truth.astype(np.float64),
    }
