"""Files of posteriors in the layout of docs/contracts.md, and toys whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np


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
