"""Posteriors of galaxies that were observed with larger errors than the training set's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.posterior.noise import galaxy_noise
from mgsflow.posterior.posterior import Inputs, Posterior
from mgsflow.posterior.widening import MAGNITUDE, Magnitudes

EXTRA = "extra_error_"
_NAMED_ROWS = 10


class WidenedPosterior(Posterior):
    """The posterior given magnitudes with larger errors, or without some bands.

    See `Posterior.widen`. p(targets | observed) is the mean of p(targets | x) over what the
    training set's inputs x may be given the observed ones: each draw is of an x of its own. Draws
    depend on seed and number as those of `Posterior`; with no error larger and no band missing
    they are the same, up to rounding.
    """

    def __init__(self, posterior: Posterior) -> None:
        if type(posterior) is not Posterior:
            raise UserError("widen() is of a posterior as it was trained: call it first")
        super().__init__(posterior._ensembles)
        first = self._ensembles[0]
        self._magnitudes = Magnitudes.of(first.inputs, self._density(), first.input_scale)

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns: latents, magnitudes, and the magnitudes' extra errors."""
        bands = self._magnitudes.bands
        magnitudes = [f"{MAGNITUDE}{band}" for band in bands]
        return [*self._magnitudes.latents, *magnitudes, *(f"{EXTRA}{band}" for band in bands)]

    def only(self, targets: list[str]) -> Posterior | None:
        chosen = super().only(targets)
        return chosen and WidenedPosterior(chosen)

    def _inputs(self, inputs: Inputs) -> Tabular:
        """Refuses what cannot be: latents that are not finite, errors below 0 or NaN."""
        rows = Tabular(inputs, self.inputs, "inputs")
        bad: list[int] = []
        for part in blocks(len(rows), 65_536):
            latents, magnitudes, extra = self._split(rows[part])
            wrong = ~np.isfinite(latents).all(axis=1) | np.isinf(magnitudes).any(axis=1)
            wrong |= ~(extra >= 0).all(axis=1)
            bad += (part.start + np.flatnonzero(wrong)).tolist()
        if bad:
            first = ", ".join(map(str, bad[:_NAMED_ROWS])) + (", ..." * (len(bad) > _NAMED_ROWS))
            raise UserError(
                f"inputs: {len(bad)} of {len(rows)} rows have an infinite magnitude, a latent that "
                f"is not finite, or an extra error below 0 or NaN: rows {first}. A missing band is "
                "a magnitude of NaN or an infinite extra error; no extra error is 0."
            )
        return rows

    def _split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        latents, bands = len(self._magnitudes.latents), len(self._magnitudes.bands)
        return tuple(np.split(values, [latents, latents + bands], axis=1))  # type: ignore[return-value]

    def _drawn(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, range, Tensor]]:
        share = self.draws_per_member(draws)
        for part in blocks(len(rows), max(1, self._block_rows // share)):
            numbers = range(first_row + part.start, first_row + part.stop)
            parts, drawn = self._split(rows[part]), []
            for member in range(self.members):
                key = derive_seed(seed, "posterior", "magnitudes", member)
                noise = galaxy_noise(key, numbers, share, self._magnitudes.noise_size)
                # shared by both flows: a draw's properties and lines are of one galaxy
                inputs = self._magnitudes.draw(*parts, noise.numpy().astype(np.float64))
                of_flows = [e.sample_each(inputs, numbers, member, seed) for e in self._ensembles]
                drawn.append(torch.cat(of_flows, dim=-1))
            yield part, numbers, torch.stack(drawn, dim=1)

    def _refuse(self, *_: object, **__: object) -> np.ndarray:
        raise UserError(
            "of a widened posterior there are draws, and what is made of them: sample, "
            "sample_members, chunks, mean, std, quantiles"
        )

    mean_head = measurable = log_prob = log_prob_members = _refuse  # type: ignore[assignment]
    atypicality = out_of_distribution = epistemic_spread = reweight = _refuse  # type: ignore[assignment]
