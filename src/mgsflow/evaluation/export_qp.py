"""Posteriors as an ensemble of qp, the format of LSST DESC's photometric redshifts.

The file is HDF5 in the layout that qp 1.1 writes and reads (qp-prob on PyPI; Malz et al. 2018, AJ
156, 35): the groups `meta`, `data` and `ancil`, each a table whose columns are datasets. It is
written here with h5py: see docs/decisions.md.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.progress import say
from mgsflow.core.quantities import QUANTITIES
from mgsflow.evaluation.draws import read_posterior
from mgsflow.models.tabular import blocks

SUFFIXES = (".hdf5", ".h5", ".hf5", ".hd5")  # by which qp.read knows the format
MOST_BINS = 20_000
_ROWS = 4096  # galaxies counted at once


def export_qp(
    *, posteriors: Path, out: Path, set: str = "test", target: str = "redshift", step: float = 0.002
) -> None:
    """Write one target's posteriors of a run to --out, which `qp.read` reads.

    `posteriors` is a run's posteriors/VARIANT.h5, `set` test or validation. Each posterior is a
    histogram of its draws in bins of `step`, in the target's unit, the same for all galaxies.
    Beside them, as qp's ancillary table: objid, and the truth, NaN where the catalogue has none.
    """
    given = read_posterior(posteriors, set)
    draws = given.pooled[..., given.column(target)]
    write_qp(out, draws, step, objid=given.objid, truth=given.truth[:, given.column(target)])
    unit = QUANTITIES[target].unit
    say(f"export-qp: {len(draws)} posteriors of {target}, bins of {step:g} {unit}".rstrip())


def write_qp(path: Path, draws: np.ndarray, step: float, **ancil: np.ndarray) -> None:
    """Write `draws` (n, S) as n histograms with bins of `step`, and the columns `ancil` (n,).

    The bins reach from the least draw to the greatest, at whole multiples of `step`, so that no
    draw is lost: at the edges a histogram's distribution function is that of the draws.
    """
    path, bins = Path(path), _bins(draws, step)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: qp reads HDF5 from names that end in {', '.join(SUFFIXES)}")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        meta = file.create_group("meta")
        meta["pdf_name"], meta["pdf_version"] = np.array([b"hist"]), np.array([0])
        meta["bins"] = bins[None]
        shape = (len(draws), len(bins) - 1)
        densities = file.create_group("data").create_dataset("pdfs", shape, np.float64)
        for part in blocks(len(draws), _ROWS):
            densities[part] = _densities(draws[part], bins, step)
        table = file.create_group("ancil")
        for name, values in ancil.items():
            table[name] = values


def _bins(draws: np.ndarray, step: float) -> np.ndarray:
    """Edges at multiples of `step`, as many as hold all draws, the greatest one inside."""
    if not (step > 0 and np.isfinite(step)):
        raise UserError(f"step must be a width above 0, not {step}")
    if not draws.size or not np.isfinite(draws).all():
        raise UserError("draws must be finite numbers of one galaxy at least")
    low = int(np.floor(np.min(draws) / step))
    high = max(int(np.floor(np.max(draws) / step)), low) + 1
    if high - low > MOST_BINS:
        raise UserError(
            f"bins of {step:g} from {draws.min():.4g} to {draws.max():.4g} would be {high - low}; "
            f"{MOST_BINS} at most: give a wider --step."
        )
    return step * np.arange(low, high + 1)


def _densities(draws: np.ndarray, bins: np.ndarray, step: float) -> np.ndarray:
    """Share of each galaxy's draws in every bin, a unit of the target, (n, bins)."""
    count = len(bins) - 1
    # by the edges themselves, not by a division: a draw at an edge is in the bin above it
    place = np.clip(np.searchsorted(bins, draws, side="right") - 1, 0, count - 1)
    flat = place + count * np.arange(len(draws))[:, None]
    counts = np.bincount(flat.ravel(), minlength=count * len(draws)).reshape(len(draws), count)
    return counts / (draws.shape[1] * step)
