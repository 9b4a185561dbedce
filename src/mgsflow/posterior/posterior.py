"""The posterior as trained: an ensemble of property and line branches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.posterior.base import Inputs
from mgsflow.posterior.ensemble import Ensemble, find_models
from mgsflow.posterior.mixture import MixturePosterior
from mgsflow.posterior.reweighted import DensityPosterior
from mgsflow.posterior.widened import WidenedPosterior


class Posterior(MixturePosterior, DensityPosterior):
    """p(properties, lines | inputs) of galaxies, by a deep ensemble.

        posterior = Posterior.load("results/RUN/flows", variant="photometry-observed")
        draws = posterior.sample(galaxies, draws=1000, seed=1)

    **Inputs** are n galaxies: a DataFrame with the columns `posterior.inputs` among others, or an
    array (n, inputs) with those columns in that order. A row with a NaN or an infinity is refused,
    by its number.

    **Values**, in and out, are in the targets' own units (`posterior.units`): logarithms of Msun
    and Msun / yr, redshift, 12 + log(O/H); lines are ln(1 + F), F in 1e-17 erg / (s cm2), so that
    `numpy.expm1` gives the flux, and a quantile's flux is the flux's quantile.

    **The posterior** is the mixture of the members in equal parts: their disagreement is part of
    it. A member is a property branch and the line branch of the same number; given the inputs and
    the member, properties and lines are independent. Metallicity is drawn given the other
    properties of the same draw (chain rule; Branch says for which galaxies it holds).

    **Draws** depend on `seed` and on a galaxy's number in the table, and on nothing else: they are
    the same for a table in one piece or in several (`first_row`), and on every device, up to the
    rounding of its arithmetic; more draws of the same seed begin with the fewer.

    **Other posteriors** are made of this one: `reweight` gives that of another population, `widen`
    that of noisier magnitudes. They have classes of their own with the methods that apply to them,
    and are no instances of this class; all are `mgsflow.posterior.base.BasePosterior`.
    """

    @classmethod
    def load(cls, *folders: Path | str | None, variant: str | None = None) -> Self:
        """From a run's models, or from chosen ones.

        `folders` is one run's folder, results/RUN or results/RUN/flows, with `variant` if it holds
        several; or the folders flows/property/VARIANT and flows/line/VARIANT, of which either may
        be left out or None. The targets come in the order of the folders.

        Raises UserError where a model is absent or broken, is not of `variant`, or two were
        trained on different inputs or with different numbers of members.
        """
        paths = [
            path for folder in folders if folder for path in find_models(Path(folder), variant)
        ]
        ensembles = [Ensemble.load(path) for path in paths]
        for path, ensemble in zip(paths, ensembles, strict=True):
            if variant not in (None, ensemble.variant):
                raise UserError(f"{path}: is a model of {ensemble.variant}, not of {variant}")
        return cls(ensembles)

    def widen(self) -> WidenedPosterior:
        """The posteriors of galaxies with larger errors than the training set's, or without a band.

        Its inputs are the latents, the magnitudes `mag_*` and, beside each, `extra_error_*`: the
        standard error in excess of the training set's, mag, sqrt(error^2 - the training set's^2);
        0 where there is none. A magnitude of NaN, or an infinite error, is a missing band. Colours
        follow. Raises UserError where other inputs than latents, magnitudes and their colours are
        needed.
        """
        return WidenedPosterior(self._ensembles)

    @property
    def inputs(self) -> list[str]:
        return self._ensembles[0].inputs

    @property
    def detects(self) -> bool:
        """Whether the probability that metallicity is measurable is modelled."""
        return any(each.detects for each in self._ensembles)

    @torch.inference_mode()
    def mean_head(self, inputs: Inputs) -> np.ndarray:
        """The regression heads' own predictions, (n, members, targets), float32."""
        rows = self._checked(inputs)
        out = np.empty((len(rows), self.members, len(self.targets)), np.float32)
        for part in blocks(len(rows), self._block_rows):
            for ensemble, columns in self._parts():
                out[part, :, columns] = ensemble.mean_head(rows[part])
        return out

    @torch.inference_mode()
    def measurable(self, inputs: Inputs) -> np.ndarray | None:
        """Probability that metallicity is measurable, (n, members), or None if not modelled."""
        rows = self._checked(inputs)
        if not self.detects:
            return None
        ensemble = next(each for each in self._ensembles if each.detects)
        out = np.empty((len(rows), self.members), np.float32)
        for part in blocks(len(rows), self._block_rows):
            out[part] = ensemble.measurable(rows[part])
        return out

    def epistemic_spread(self, inputs: Inputs) -> np.ndarray:
        """How far the members' heads disagree, (n,), float64; NaN with one member.

        The standard deviation over the members of each target's prediction, in units of its spread
        in the training set, root mean square over the targets.
        """
        if self.members < 2:
            return np.full(len(self._checked(inputs)), np.nan)
        spread = self.mean_head(inputs).std(axis=1, ddof=1, dtype=np.float64)
        scale = np.concatenate([each.target_scale.std for each in self._ensembles])
        return np.sqrt(np.square(spread / scale).mean(axis=1))

    def out_of_distribution_score(self, inputs: Inputs) -> np.ndarray:
        rows, density = self._checked(inputs), self._input_density()
        scale, out = self._ensembles[0].input_scale, np.empty(len(rows))
        for part in blocks(len(rows), self._block_rows):
            standardised = (rows[part] - scale.mean) / scale.std
            out[part] = density.out_of_distribution_score(standardised)
        return out

    def log_prob(self, inputs: Inputs, values: Inputs) -> np.ndarray:
        """Joint log-density of `values` under the mixture of the members, (n,), float64.

        `values` are a DataFrame with the columns `targets`, or an array (n, targets) in that order:
        a row a galaxy. In nats, per unit of each target. Where metallicity is NaN the density is
        that of the other targets; a NaN elsewhere is refused, by its row.
        """
        members = self.log_prob_members(inputs, values)
        return np.logaddexp.reduce(members, axis=1) - np.log(self.members)

    @torch.inference_mode()
    def log_prob_members(self, inputs: Inputs, values: Inputs) -> np.ndarray:
        """`log_prob` under each member by itself, (n, members), float64."""
        rows = self._checked(inputs)
        truth = Tabular(values, self.targets, "values").refuse_missing(allowed=METALLICITY)
        if len(truth) != len(rows):
            raise UserError(f"inputs have {len(rows)} rows, values {len(truth)}: give as many")
        out = np.zeros((len(rows), self.members))
        for part in blocks(len(rows), self._block_rows):
            for ensemble, columns in self._parts():
                out[part] += ensemble.log_prob(rows[part], truth[part][:, columns])
        return out

    def _sample_blocks(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, range, Tensor]]:
        share = self.draws_per_member(draws)
        for part in blocks(len(rows), max(1, self._block_rows // share)):
            numbers, values = range(first_row + part.start, first_row + part.stop), rows[part]
            of_flows = [each.sample(values, numbers, share, seed) for each in self._ensembles]
            yield part, numbers, torch.cat(of_flows, dim=-1)

    def _parts(self) -> Iterator[tuple[Ensemble, slice]]:
        """The ensembles, and where their targets lie on the last axis."""
        start = 0
        for ensemble in self._ensembles:
            yield ensemble, slice(start, start + len(ensemble.targets))
            start += len(ensemble.targets)
