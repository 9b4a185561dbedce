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
from mgsflow.core.tabular import blocks
from mgsflow.inference.draws import read_posterior

SUFFIXES = (".hdf5", ".h5", ".hf5", ".hd5")  # qp.read recognises the format by these
MOST_BINS = 20_000
_NUMBERS = 2**22  # draws, and densities, processed at once: 32 MB each


def export_qp(
    *,
    posteriors: Path,
    out: Path,
    set: str = "test",
    target: str = "redshift",
    step: float = 0.002,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Write a run's posteriors of one target to --out, which `qp.read` reads.

    `posteriors` is a run's posteriors/VARIANT.h5; `set` is test or validation. Each posterior is a
    histogram of its draws. The bins are the same for all galaxies, with width `step` in the
    target's unit, from `low` to `high` or, by default, over the range of the draws. qp's ancillary
    table has objid and the truth, which is NaN where the catalogue has none.
    """
    posterior = read_posterior(posteriors, set)
    draws = posterior.pooled[..., posterior.column(target)]
    truth = posterior.truth[:, posterior.column(target)]
    beyond = write_qp(out, draws, step, low, high, objid=posterior.objid, truth=truth)
    unit = QUANTITIES[target].unit
    say(f"export-qp: {len(draws)} posteriors of {target}, bins of {step:g} {unit}".rstrip())
    if beyond.any():
        say(
            f"export-qp: {beyond.sum()} draws of {np.count_nonzero(beyond)} galaxies lie beyond "
            "--low or --high and are in the outermost bins"
        )


def write_qp(
    path: Path,
    draws: np.ndarray,
    step: float,
    low: float | None = None,
    high: float | None = None,
    **ancil: np.ndarray,
) -> np.ndarray:
    """Write `draws` (n, S) as n histograms with bins of `step`, and the columns `ancil` (n,).

    The bins reach from `low` to `high`, by default from the smallest to the largest draw. Their
    edges are whole multiples of `step`; there a histogram's distribution function equals that of
    the draws. Draws outside are counted in the outermost bins; returns their number, (n,).
    """
    path, bins = Path(path), _bins(draws, step, low, high, ancil.get("objid"))
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: qp reads HDF5 from names that end in {', '.join(SUFFIXES)}")
    beyond = np.zeros(len(draws), np.int64)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        meta = file.create_group("meta")
        meta["pdf_name"], meta["pdf_version"] = np.array([b"hist"]), np.array([0])
        meta["bins"] = bins[None]
        shape = (len(draws), len(bins) - 1)
        densities = file.create_group("data").create_dataset("pdfs", shape, np.float64)
        for part in blocks(len(draws), max(1, _NUMBERS // max(shape[1], draws.shape[1]))):
            densities[part] = _densities(draws[part], bins, step)
            outside = (draws[part] < bins[0]) | (draws[part] >= bins[-1])
            beyond[part] = outside.sum(axis=1)
        table = file.create_group("ancil")
        for name, values in ancil.items():
            table[name] = values
    return beyond


def _bins(
    draws: np.ndarray,
    step: float,
    low: float | None,
    high: float | None,
    objid: np.ndarray | None,
) -> np.ndarray:
    """Edges at multiples of `step` that cover the range, including the largest draw."""
    if not (step > 0 and np.isfinite(step)):
        raise UserError(f"step must be a width above 0, not {step}")
    if not draws.size or not np.isfinite(draws).all():
        raise UserError("draws must be finite numbers of at least one galaxy")
    first = int(np.floor((np.min(draws) if low is None else low + _ROUNDING * step) / step))
    last = int(
        np.floor(np.max(draws) / step) + 1 if high is None else np.ceil(high / step - _ROUNDING)
    )
    if high is None:
        last = max(last, first + 1)
    if last <= first:
        raise UserError(f"no bin of {step:g} lies between low, {low}, and high, {high}")
    if last - first > MOST_BINS:
        raise UserError(
            f"bins of {step:g} from {first * step:.4g} to {last * step:.4g} would be "
            f"{last - first}; {MOST_BINS} at most: give a wider --step, or --low and --high, "
            "outside which draws are counted in the outermost bins. "
            f"{_farthest(draws, objid)}"
        )
    return step * np.arange(first, last + 1)


_ROUNDING = 1e-6  # in units of a step: 0.3 / 0.002 counts as a whole number of steps


def _farthest(draws: np.ndarray, objid: np.ndarray | None) -> str:
    """A sentence that names the draw farthest from the median of all."""
    middle = float(np.median(draws))
    least, greatest = int(np.argmin(draws)), int(np.argmax(draws))
    low, high = draws.flat[least], draws.flat[greatest]
    place, value = (least, low) if middle - low > high - middle else (greatest, high)
    row = place // draws.shape[1]
    name = f"row {row}" if objid is None else f"galaxy {objid[row]}"
    return f"Farthest out is {name} with a draw of {value:.4g}."


def _densities(draws: np.ndarray, bins: np.ndarray, step: float) -> np.ndarray:
    """Fraction of each galaxy's draws per bin and unit of the target, (n, bins)."""
    count = len(bins) - 1
    # compare with the edges instead of dividing: a draw on an edge belongs to the bin above it
    place = np.clip(np.searchsorted(bins, draws, side="right") - 1, 0, count - 1)
    flat = place + count * np.arange(len(draws))[:, None]
    counts = np.bincount(flat.ravel(), minlength=count * len(draws)).reshape(len(draws), count)
    return counts / (draws.shape[1] * step)
