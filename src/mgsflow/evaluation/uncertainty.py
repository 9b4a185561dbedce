"""The posteriors' width, decomposed into aleatoric and epistemic uncertainty.

More data could reduce the epistemic part, but not the aleatoric part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import write_table
from mgsflow.inference.draws import PosteriorSet, each_variant

SET = "validation"  # the paper's Table 2
_OWN = "in the target's unit, lines in ln(1 + F)"
_QUANTITIES = (
    Quantity("variant", "", "Variant of the flows' inputs"),
    Quantity("target", "", "Inferred quantity"),
    Quantity("n", "", "Validation galaxies with a measured target: those that count"),
    Quantity("members", "", "Members of the ensemble"),
    Quantity("aleatoric", "", f"Aleatoric sigma, root mean square over the galaxies; {_OWN}"),
    Quantity("epistemic", "", f"Epistemic sigma, root mean square; NaN with one member; {_OWN}"),
    Quantity("total", "", f"Root of the sum of their squares; {_OWN}"),
    Quantity("aleatoric_median", "", f"Aleatoric sigma, median over the galaxies; {_OWN}"),
    Quantity("epistemic_median", "", f"Epistemic sigma, median; NaN with one member; {_OWN}"),
    Quantity("total_median", "", f"Total sigma, median over the galaxies; {_OWN}"),
)


@dataclass(frozen=True)
class Variances:
    """Variances of each galaxy, (n,). `epistemic` may be negative: see `decompose`."""

    aleatoric: np.ndarray
    epistemic: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.aleatoric + self.epistemic


def uncertainty(*, posteriors: list[Path], out: Path) -> None:
    """Decompose each target's uncertainty into aleatoric and epistemic sigma.

    The decomposition uses the law of total variance over the members of the ensemble, on the
    validation set (paper, Table 2). As in the scores, galaxies without a measured target are
    ignored. It needs at least two members; with one, the epistemic and total sigma are NaN.
    """
    rows: list[dict[str, object]] = []
    for variant, posterior in each_variant(posteriors, SET):
        if posterior.members < 2:
            say(f"uncertainty: {variant} has one member: its epistemic uncertainty is unknown")
        rows += _rows(variant, posterior)
    columns = [quantity.name for quantity in _QUANTITIES]
    write_table(out, pd.DataFrame(rows, columns=columns), _QUANTITIES, {"set": SET})


def decompose(draws: np.ndarray) -> Variances:
    """Aleatoric and epistemic variance of one target's `draws` (n, members, S).

    By the law of total variance (Depeweg et al. 2018; Lakshminarayanan et al. 2017 for the
    ensemble), the aleatoric variance is the mean over the members of the variance of their draws,
    and the epistemic variance is the variance over the members of their means. Both estimates are
    unbiased: they use ddof = 1, and the sampling variance of a mean of S draws, variance / S, is
    subtracted from the epistemic variance. The difference may be negative for a galaxy. It is not
    clipped, because clipping galaxy by galaxy would bias it.
    """
    count, members = draws.shape[2], draws.shape[1]
    means = draws.mean(axis=2, dtype=np.float64)
    within = draws.var(axis=2, ddof=1, dtype=np.float64).mean(axis=1)
    if members < 2:
        return Variances(within, np.full(len(draws), np.nan))
    return Variances(within, means.var(axis=1, ddof=1) - within / count)


def _rows(variant: str, posterior: PosteriorSet) -> Iterator[dict[str, object]]:
    for column, target in enumerate(posterior.targets):
        known = np.isfinite(posterior.truth[:, column])
        variances = decompose(posterior.draws[known, :, :, column])
        parts = {name: getattr(variances, name) for name in ("aleatoric", "epistemic", "total")}
        yield {
            "variant": variant,
            "target": target,
            "n": int(known.sum()),
            "members": posterior.members,
            **{name: _sigma(np.mean, values) for name, values in parts.items()},
            **{f"{name}_median": _sigma(np.median, values) for name, values in parts.items()},
        }


def _sigma(centre: Callable[[np.ndarray], np.floating], variances: np.ndarray) -> float:
    """Root of the mean or median variance, or 0 if that is negative: none is detectable."""
    return float(np.sqrt(np.maximum(centre(variances), 0))) if len(variances) else float("nan")
