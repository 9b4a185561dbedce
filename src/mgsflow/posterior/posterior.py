"""Joint posteriors of all targets, from an ensemble of property and line branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import METALLICITY, QUANTITIES
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.models.input_density import InputDensity
from mgsflow.posterior.ensemble import Ensemble, check_together, find_models, mix
from mgsflow.posterior.noise import galaxy_choice

if TYPE_CHECKING:
    from mgsflow.posterior.prior_ratio import PriorRatio

# Rows of draws that pass through a flow at once, by device: the memory inside is that of so many,
# whatever is asked for. On a CPU more would be slower, because the activations leave the caches;
# on a GPU fewer would, because starting a block's kernels takes longer than their work.
BLOCK_ROWS = {"cpu": 2**14, "cuda": 2**19}
# Numbers in a chunk of draws, 32 MB, and in the largest array that `sample` returns, 8 GiB.
CHUNK_NUMBERS, MOST_NUMBERS = 2**23, 2**31

Inputs = pd.DataFrame | np.ndarray


class Posterior:
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
    it. A member is a property branch and the line branch of the same number; given the inputs, and
    the member, properties and lines are independent. Metallicity is drawn given the other
    properties of the same draw (chain rule; Branch says for which galaxies it holds).

    **Draws** depend on `seed` and on a galaxy's number in the table, and on nothing else: they are
    the same for a table in one piece or in several (`first_row`), and on every device, up to the
    rounding of its arithmetic; more draws of the same seed begin with the fewer.
    """

    def __init__(self, ensembles: Sequence[Ensemble]) -> None:
        if not ensembles:
            raise UserError("a posterior needs a property model, a line model, or both")
        for other in ensembles[1:]:
            check_together(ensembles[0], other)
        self._ensembles = list(ensembles)

    @classmethod
    def load(cls, *folders: Path | str | None, variant: str | None = None) -> Self:
        """From a run's models, or from chosen ones.

        `folders` is one run's folder, results/RUN or results/RUN/flows, with `variant` if it holds
        several; or the folders flows/property/VARIANT and flows/line/VARIANT, of which either may
        be left out or None. The targets come in the order of the folders.

        Raises UserError where a model is absent or broken, is not of `variant`, or two were
        trained on different inputs or with different numbers of members.
        """
        found = [
            path for folder in folders if folder for path in find_models(Path(folder), variant)
        ]
        ensembles = [Ensemble.load(path) for path in found]
        for path, ensemble in zip(found, ensembles, strict=True):
            if variant not in (None, ensemble.variant):
                raise UserError(f"{path}: is a model of {ensemble.variant}, not of {variant}")
        return cls(ensembles)

    def only(self, targets: list[str]) -> Posterior | None:
        """The posterior of the model of `targets` alone, all of one flow; None if there is none."""
        chosen = [ensemble for ensemble in self._ensembles if ensemble.targets == list(targets)]
        return Posterior(chosen) if chosen else None

    def reweight(self, ratio: PriorRatio, pool: int = 4) -> Posterior:
        """The posteriors of another population, whose targets' density is `ratio` times as great.

        By weights on draws, `pool` times as many as are asked for: under label shift in the
        ratio's targets (`mgsflow.PriorRatio` says what that is). Draws stay joint: lines are taken
        with their draw's properties, and change as far as the two hang together, which is by the
        members and, after `widen`, by the magnitudes. Where none of a galaxy's draws can be of the
        new population, its draws are NaN.
        """
        from mgsflow.posterior.reweighted import ReweightedPosterior

        return ReweightedPosterior(self, ratio, pool)

    def widen(self) -> Posterior:
        """The posteriors of galaxies with larger errors than the training set's, or without a band.

        Its inputs are the latents, the magnitudes `mag_*` and, beside each, `extra_error_*`: the
        standard error beyond that of the training set's, mag, sqrt(error^2 - the training set's^2);
        0 where there is none. A magnitude of NaN, or an infinite error, is a missing band. Colours
        follow. Raises UserError where the inputs are no magnitudes and their colours.
        """
        from mgsflow.posterior.widened import WidenedPosterior

        return WidenedPosterior(self)

    def to(self, device: torch.device | str) -> Self:
        """Move the models to a device. The noise of the draws stays the same on all of them."""
        for ensemble in self._ensembles:
            ensemble.to(device)
        return self

    def __repr__(self) -> str:
        return (
            f"<Posterior of {', '.join(self.targets)} given {self.variant} "
            f"({len(self.inputs)} inputs), {self.members} members>"
        )

    @property
    def variant(self) -> str:
        return self._ensembles[0].variant

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns, in order."""
        return self._ensembles[0].inputs

    @property
    def targets(self) -> list[str]:
        """Names of what is inferred: properties, then lines, in the settings' order."""
        return [name for ensemble in self._ensembles for name in ensemble.targets]

    @property
    def units(self) -> dict[str, str]:
        """Each target's unit, in astropy's spelling; empty for a pure number."""
        return {name: QUANTITIES[name].unit for name in self.targets}

    @property
    def members(self) -> int:
        return len(self._ensembles[0].members)

    @property
    def detects(self) -> bool:
        """Whether the probability that metallicity is measurable is modelled."""
        return any(each.detects for each in self._ensembles)

    def draws_per_member(self, draws: int) -> int:
        """Each member's share of `draws`, rounded up."""
        _check_draws(draws)
        return -(-draws // self.members)

    @torch.inference_mode()
    def sample(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws from the mixture of the members, (n, draws, targets), float32.

        The members take turns from draw to draw, and a galaxy's first draw is of a member chosen at
        random: any run of `members` draws has one of each. `first_row` is the number of the table's
        first galaxy. Raises UserError where the result would take more than 8 GiB: see `chunks`.
        """
        _check_draws(draws)
        rows = self._inputs(inputs)
        self._check_size(len(rows), draws)
        out = np.empty((len(rows), draws, len(self.targets)), np.float32)
        for part, numbers, drawn in self._drawn(rows, draws, seed, first_row):
            key = derive_seed(seed, "posterior", "member")
            first = galaxy_choice(key, numbers, self.members, drawn.device)
            out[part] = mix(drawn, first, draws).cpu().numpy()
        return out

    def chunks(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, size: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """The draws of `sample` for any number of galaxies, chunk by chunk.

        Yields the rows of `inputs`, a slice, and their draws, (rows, draws, targets), float32, of
        `size` galaxies or, without it, of 32 MB. All inputs are checked before the first chunk.
        """
        _check_draws(draws)
        rows = self._inputs(inputs)
        size = size or max(1, CHUNK_NUMBERS // (draws * len(self.targets)))
        return (
            (part, self.sample(rows[part], draws, seed, part.start))
            for part in blocks(len(rows), size)
        )

    @torch.inference_mode()
    def sample_members(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Each member's joint draws, (n, members, draws_per_member, targets), float32.

        All of them together are at least `draws` a galaxy, and equal parts of the mixture.
        """
        rows = self._inputs(inputs)
        share = self.draws_per_member(draws)
        self._check_size(len(rows), share * self.members)
        out = np.empty((len(rows), self.members, share, len(self.targets)), np.float32)
        for part, _, drawn in self._drawn(rows, draws, seed, first_row):
            out[part] = drawn.cpu().numpy()
        return out

    def mean(self, inputs: Inputs, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Means of the posterior, (n, targets), float64, from draws that are not kept."""
        return self._over_draws(lambda drawn: drawn.mean(axis=1), inputs, draws, seed)

    def std(self, inputs: Inputs, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Standard deviations of the posterior, (n, targets), float64, likewise.

        Of the mixture: each member's own width and the members' disagreement.
        """
        return self._over_draws(lambda drawn: drawn.std(axis=1), inputs, draws, seed)

    def quantiles(
        self,
        inputs: Inputs,
        levels: Sequence[float] = (0.16, 0.5, 0.84),
        draws: int = 1000,
        seed: int = 0,
    ) -> np.ndarray:
        """Quantiles of each target's own posterior, (n, levels, targets), float64, likewise."""
        chosen = np.asarray(levels, dtype=np.float64)
        if chosen.ndim != 1 or not ((chosen >= 0) & (chosen <= 1)).all():
            raise UserError(f"levels of quantiles must be a list of numbers in [0, 1]: {levels}")
        return self._over_draws(
            lambda drawn: np.moveaxis(np.quantile(drawn, chosen, axis=1), 0, 1),
            inputs,
            draws,
            seed,
            (len(chosen),),
        )

    @torch.inference_mode()
    def mean_head(self, inputs: Inputs) -> np.ndarray:
        """The regression heads' own predictions, (n, members, targets), float32."""
        rows = self._inputs(inputs)
        out = np.empty((len(rows), self.members, len(self.targets)), np.float32)
        for part in blocks(len(rows), self._block_rows):
            for ensemble, columns in self._parts():
                out[part, :, columns] = ensemble.mean_head(rows[part])
        return out

    @torch.inference_mode()
    def measurable(self, inputs: Inputs) -> np.ndarray | None:
        """Probability that metallicity is measurable, (n, members), or None if not modelled."""
        rows = self._inputs(inputs)
        if not self.detects:
            return None
        ensemble = next(ensemble for ensemble in self._ensembles if ensemble.detects)
        out = np.empty((len(rows), self.members), np.float32)
        for part in blocks(len(rows), self._block_rows):
            out[part] = ensemble.measurable(rows[part])
        return out

    def atypicality(self, inputs: Inputs) -> np.ndarray:
        """How unusual the inputs are beside the training set's, (n,), float64, in nats.

        By how much a log-density lies below the threshold of `out_of_distribution`, under a mixture
        of Gaussians fitted to the training set's inputs; negative within it. With images and
        photometry there are two, of the latents and of the photometry given the latents, and the
        one that is farther below counts.
        """
        rows, density = self._inputs(inputs), self._density()
        scale, out = self._ensembles[0].input_scale, np.empty(len(rows))
        for part in blocks(len(rows), self._block_rows):
            out[part] = density.atypicality((rows[part] - scale.mean) / scale.std)
        return out

    def out_of_distribution(self, inputs: Inputs) -> np.ndarray:
        """Whether a galaxy is not of the training set's kind, (n,): believe no posterior of it.

        A threshold leaves out one in a hundred of galaxies like the validation set's. With images
        and photometry there are two, and beyond either is flagged: up to two in a hundred.
        """
        return self.atypicality(inputs) > 0

    def epistemic_spread(self, inputs: Inputs) -> np.ndarray:
        """How far the members' heads disagree, (n,), float64; NaN with one member.

        The standard deviation over the members of each target's prediction, in units of its spread
        in the training set, root mean square over the targets.
        """
        if self.members < 2:
            return np.full(len(self._inputs(inputs)), np.nan)
        spread = self.mean_head(inputs).std(axis=1, ddof=1, dtype=np.float64)
        scale = np.concatenate([each.target_scale.std for each in self._ensembles])
        return np.sqrt(np.square(spread / scale).mean(axis=1))

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
        rows = self._inputs(inputs)
        truth = Tabular(values, self.targets, "values").refuse_missing(allowed=METALLICITY)
        if len(truth) != len(rows):
            raise UserError(f"inputs have {len(rows)} rows, values {len(truth)}: give as many")
        out = np.zeros((len(rows), self.members))
        for part in blocks(len(rows), self._block_rows):
            for ensemble, columns in self._parts():
                out[part] += ensemble.log_prob(rows[part], truth[part][:, columns])
        return out

    def _drawn(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, range, Tensor]]:
        """Block by block: rows, their galaxies' numbers, draws (rows, members, share, targets)."""
        share = self.draws_per_member(draws)
        for part in blocks(len(rows), max(1, self._block_rows // share)):
            numbers, values = range(first_row + part.start, first_row + part.stop), rows[part]
            drawn = [each.sample(values, numbers, share, seed) for each in self._ensembles]
            yield part, numbers, torch.cat(drawn, dim=-1)

    def _over_draws(
        self,
        statistic: Callable[[np.ndarray], np.ndarray],
        inputs: Inputs,
        draws: int,
        seed: int,
        shape: tuple[int, ...] = (),
    ) -> np.ndarray:
        """`statistic` of every chunk's draws in float64, (n, *shape, targets)."""
        out = np.empty((len(inputs), *shape, len(self.targets)))
        for part, drawn in self.chunks(inputs, draws, seed):
            out[part] = statistic(drawn.astype(np.float64))
        return out

    @property
    def _block_rows(self) -> int:
        return BLOCK_ROWS.get(self._ensembles[0].device.type, BLOCK_ROWS["cpu"])

    def _parts(self) -> Iterator[tuple[Ensemble, slice]]:
        """The ensembles, and where their targets lie on the last axis."""
        start = 0
        for ensemble in self._ensembles:
            yield ensemble, slice(start, start + len(ensemble.targets))
            start += len(ensemble.targets)

    def _density(self) -> InputDensity:
        density = self._ensembles[0].density
        if density is None:
            raise UserError(
                f"the model of {self.variant} holds no density of its inputs: a version of mgsflow "
                "trained it that made none. Train it again with train-flow."
            )
        return density

    def _inputs(self, inputs: Inputs) -> Tabular:
        return Tabular(inputs, self.inputs, "inputs").refuse_missing()

    def _check_size(self, galaxies: int, draws: int) -> None:
        if galaxies * draws * len(self.targets) > MOST_NUMBERS:
            raise UserError(
                f"{galaxies} galaxies x {draws} draws x {len(self.targets)} targets are more than "
                f"the {MOST_NUMBERS * 4 / 2**30:g} GiB of one array: take them from "
                "Posterior.chunks, or ask for mean, std or quantiles, which keep no draws."
            )


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise UserError(f"draws must be 1 or more, not {draws}")
