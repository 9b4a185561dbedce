"""Posteriors under another population than the training set's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed, hash_uniform
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.posterior.posterior import Inputs, Posterior
from mgsflow.posterior.prior_ratio import FEW, PriorRatio, effective_sizes, normalised, resample

_POOLED = 2**22  # draws weighted at once


class ReweightedPosterior(Posterior):
    """A posterior whose prior is another population's: see `Posterior.reweight`.

    Everything that is made of draws (sample, chunks, mean, std, quantiles) and `log_prob` are those
    of the new population. A galaxy's draws still depend on seed and number alone, but more draws do
    not begin with the fewer. What belongs to single members is refused: their shares change.
    Draws are joint, so that lines are taken with the properties that they were drawn with.
    A galaxy none of whose draws the new population can have has draws and densities of NaN.
    """

    def __init__(self, posterior: Posterior, ratio: PriorRatio, pool: int) -> None:
        super().__init__(posterior._ensembles)
        absent = [name for name in ratio.targets if name not in self.targets]
        if absent:
            raise UserError(f"the posterior does not infer {', '.join(absent)}")
        self._trained, self._ratio, self._pool = posterior, ratio, pool

    def sample(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws, (n, draws, targets), float32: `draws` of a pool, by their weights.

        Warns of galaxies with fewer than 100 effective draws in the pool; those without any are
        NaN.
        """
        rows = self._inputs(inputs)
        self._check_size(len(rows), draws)
        out = np.empty((len(rows), draws, len(self.targets)), np.float32)
        effective = np.empty(len(rows))
        for part, pooled, weights in self._weighted(rows, draws, seed, first_row):
            numbers = np.arange(part.start, part.stop) + first_row
            uniform = hash_uniform(numbers, derive_seed(seed, "reweight"))
            out[part] = resample(pooled, weights, draws, uniform)
            effective[part] = effective_sizes(weights)
        _warn_few(effective, draws)
        return out

    def effective_draws(self, inputs: Inputs, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Kish's effective number of draws, (n,), of the pool that `sample` takes `draws` of.

        0 where the new population can have none of them.
        """
        rows = self._inputs(inputs)
        out = np.empty(len(rows))
        for part, _, weights in self._weighted(rows, draws, seed, 0):
            out[part] = effective_sizes(weights)
        return out

    def log_prob(self, inputs: Inputs, values: Inputs, draws: int = 1000) -> np.ndarray:
        """Joint log-density of `values`, (n,), float64, as `Posterior.log_prob`.

        ln p + ln r less ln of the mean of r over `draws` draws, which normalises. Raises UserError
        where a target of the ratio is NaN; warns as `sample`.
        """
        truth = Tabular(values, self.targets, "values")
        table = pd.DataFrame(truth[slice(0, len(truth))], columns=self.targets)
        Tabular(table, self._ratio.targets, "values, of the ratio's targets").refuse_missing()
        found = self._trained.log_prob(inputs, values)
        found = found + self._ratio.log_ratio(table.to_numpy(), self.targets)
        effective = np.empty(len(found))
        for part, drawn in self._trained.chunks(inputs, draws):
            weights, log_mean = normalised(self._ratio.log_ratio(drawn, self.targets))
            effective[part] = effective_sizes(weights)
            found[part] -= np.where(np.isfinite(log_mean), log_mean, np.nan)
        _warn_few(effective, draws)
        return found

    def sample_members(self, *_: object, **__: object) -> np.ndarray:
        raise UserError(_NO_MEMBERS)

    def log_prob_members(self, *_: object, **__: object) -> np.ndarray:
        raise UserError(_NO_MEMBERS)

    def only(self, targets: list[str]) -> Posterior | None:
        """As `Posterior.only`, where the ratio is of these targets alone.

        Raises UserError otherwise: what is drawn jointly with the ratio's targets changes with
        them, by the members' shares and, after `widen`, by the magnitudes.
        """
        chosen = self._trained.only(targets)
        if chosen is None:
            return None
        if not set(self._ratio.targets) <= set(targets):
            raise UserError(
                f"{', '.join(targets)}: reweighted together with {', '.join(self._ratio.targets)}; "
                "take their columns of the joint draws"
            )
        return ReweightedPosterior(chosen, self._ratio, self._pool)

    def _weighted(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Block by block: rows, the pool's draws (rows, pool, targets), weights (rows, pool)."""
        pool = self._pool * draws
        for part in blocks(len(rows), max(1, _POOLED // pool)):
            pooled = self._trained.sample(rows[part], pool, seed, first_row + part.start)
            yield part, pooled, self._ratio.weights(pooled, self.targets)


def _warn_few(effective: np.ndarray, draws: int) -> None:
    """Warn of galaxies, of all `effective` (n,), with fewer effective draws than 100."""
    least = min(FEW, draws)
    few, none = int((effective < least).sum()), int((effective == 0).sum())
    if few:
        lost = f", {none} of them none at all, which are NaN," if none else ""
        warnings.warn(
            f"{few} of {len(effective)} galaxies have fewer than {least:g} effective draws{lost} "
            "under the new population, which lies where their posteriors hardly do: raise the "
            "pool of reweight(), or believe no posterior of them",
            stacklevel=3,
        )


_NO_MEMBERS = (
    "a reweighted posterior is a mixture whose members have other shares for every galaxy: ask the "
    "posterior that reweight() was called on for its members"
)
