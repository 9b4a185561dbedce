"""Posteriors under another population than the training set's, and which posteriors have them.

The two classes share a module because each names the other: a posterior with a density can be
reweighted, and a reweighted posterior has a density again.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch

from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed, hash_uniform
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.posterior.base import BasePosterior, Inputs, check_draws
from mgsflow.posterior.weights import FEW, effective_sizes, normalised, resample

if TYPE_CHECKING:  # its fits need scikit-learn, which sampling does not
    from mgsflow.posterior.prior_ratio import PriorRatio

_POOLED = 2**22  # draws weighted at once


class DensityPosterior(BasePosterior):
    """A posterior that also gives densities: of its targets, and of its inputs."""

    @abstractmethod
    def log_prob(self, inputs: Inputs, values: Inputs) -> np.ndarray:
        """Joint log-density of `values`, a row a galaxy, (n,), float64, in nats."""

    @abstractmethod
    def out_of_distribution_score(self, inputs: Inputs) -> np.ndarray:
        """How far the inputs are from the training set's, (n,), float64, in nats.

        By how much a log-density lies below the threshold of `out_of_distribution`, under a mixture
        of Gaussians fitted to the training set's inputs; negative within it. With images and
        photometry there are two, of the latents and of the photometry given the latents, and the
        one that is farther below counts.
        """

    def out_of_distribution(self, inputs: Inputs) -> np.ndarray:
        """Whether a galaxy is unlike the training set's, (n,), bool: do not trust its posterior.

        One in a hundred of galaxies like the validation set's are beyond a threshold. With images
        and photometry there are two, and beyond either is flagged: up to two in a hundred.
        """
        return self.out_of_distribution_score(inputs) > 0

    def reweight(self, ratio: PriorRatio, pool: int = 4) -> ReweightedPosterior:
        """The posteriors of another population, whose targets' density is `ratio` times as great.

        By weights on draws, `pool` times as many as are asked for: under label shift in the
        ratio's targets (`mgsflow.PriorRatio` says what that is). Draws stay joint: lines are taken
        with the properties of the same draw, and change as far as they are correlated with them,
        which is through the members. Where the new population excludes all draws of a galaxy, its
        draws are NaN.
        """
        return ReweightedPosterior(self, ratio, pool)


class ReweightedPosterior(DensityPosterior):
    """A posterior whose prior is another population's: `DensityPosterior.reweight` makes it.

    What is made of draws (sample, chunks, mean, std, quantiles) and `log_prob` are those of the new
    population; the flag `out_of_distribution`, of the inputs, is that of the training set's. A
    galaxy's draws still depend on seed and number alone, but more draws do not begin with the
    fewer. Draws are joint, so that lines are taken with the properties that they were drawn with.
    A galaxy all of whose draws the new population excludes has draws and densities of NaN.
    """

    _elsewhere = (
        "A reweighted posterior is a mixture whose members have other shares for every galaxy, so "
        "that it has none by themselves: members, heads and widen() are those of the posterior "
        "that reweight() was called on."
    )

    def __init__(self, origin: DensityPosterior, ratio: PriorRatio, pool: int) -> None:
        absent = [name for name in ratio.targets if name not in origin.targets]
        if absent:
            raise UserError(f"the posterior does not infer {', '.join(absent)}")
        self._origin, self._ratio, self._pool = origin, ratio, pool

    @property
    def variant(self) -> str:
        return self._origin.variant

    @property
    def inputs(self) -> list[str]:
        return self._origin.inputs

    @property
    def targets(self) -> list[str]:
        return self._origin.targets

    def to(self, device: torch.device | str) -> Self:
        self._origin.to(device)
        return self

    def only(self, targets: list[str]) -> Self | None:
        """As `BasePosterior.only`, where the ratio is of these targets alone.

        Raises UserError otherwise: what is drawn jointly with the ratio's targets changes with
        them, through the members' shares.
        """
        origin = self._origin.only(targets)
        if origin is None:
            return None
        if not set(self._ratio.targets) <= set(targets):
            raise UserError(
                f"{', '.join(targets)}: reweighted together with {', '.join(self._ratio.targets)}; "
                "take their columns of the joint draws"
            )
        return type(self)(origin, self._ratio, self._pool)

    def sample(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws, (n, draws, targets), float32: `draws` of a pool, by their weights.

        Warns of galaxies with fewer than 100 effective draws in the pool; those without any are
        NaN.
        """
        rows = self._checked(inputs)
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

        0 where the new population excludes all of them.
        """
        rows = self._checked(inputs)
        out = np.empty(len(rows))
        for part, _, weights in self._weighted(rows, draws, seed, 0):
            out[part] = effective_sizes(weights)
        return out

    def log_prob(self, inputs: Inputs, values: Inputs, draws: int = 1000) -> np.ndarray:
        """Joint log-density of `values`, (n,), float64, as `Posterior.log_prob`.

        ln p + ln r minus ln of the mean of r over `draws` draws, which normalises. Raises UserError
        where a target of the ratio is NaN; warns as `sample`.
        """
        truth = Tabular(values, self.targets, "values")
        table = pd.DataFrame(truth[slice(0, len(truth))], columns=self.targets)
        Tabular(table, self._ratio.targets, "values, of the ratio's targets").refuse_missing()
        log_prob = self._origin.log_prob(inputs, values)
        log_prob = log_prob + self._ratio.log_ratio(table.to_numpy(), self.targets)
        effective = np.empty(len(log_prob))
        for part, chunk in self._origin.chunks(inputs, draws):
            weights, log_mean = normalised(self._ratio.log_ratio(chunk, self.targets))
            effective[part] = effective_sizes(weights)
            log_prob[part] -= np.where(np.isfinite(log_mean), log_mean, np.nan)
        _warn_few(effective, draws)
        return log_prob

    def out_of_distribution_score(self, inputs: Inputs) -> np.ndarray:
        return self._origin.out_of_distribution_score(inputs)

    def _weighted(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Block by block: rows, the pool's draws (rows, pool, targets), weights (rows, pool)."""
        check_draws(draws)
        pool = self._pool * draws
        for part in blocks(len(rows), max(1, _POOLED // pool)):
            pooled = self._origin.sample(rows[part], pool, seed, first_row + part.start)
            yield part, pooled, self._ratio.weights(pooled, self.targets)


def _warn_few(effective: np.ndarray, draws: int) -> None:
    """Warn of galaxies, of all `effective` (n,), with fewer effective draws than 100."""
    least = min(FEW, draws)
    few, none = int((effective < least).sum()), int((effective == 0).sum())
    if few:
        lost = f", {none} of them none at all, which are NaN," if none else ""
        warnings.warn(
            f"{few} of {len(effective)} galaxies have fewer than {least:g} effective draws{lost} "
            "under the new population, which is where their posteriors have little mass: raise the "
            "pool of reweight(), or do not trust their posteriors",
            stacklevel=3,
        )
