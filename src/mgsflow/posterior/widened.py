"""Posteriors of galaxies that were observed with larger errors than the training set's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tabular import Tabular, blocks
from mgsflow.posterior.base import Inputs
from mgsflow.posterior.ensemble import Ensemble
from mgsflow.posterior.magnitudes import MAGNITUDE, Magnitudes
from mgsflow.posterior.mixture import MixturePosterior
from mgsflow.posterior.noise import galaxy_noise

EXTRA = "extra_error_"
_CHECKED_AT_ONCE = 65_536
_NAMED_ROWS = 10


class WidenedPosterior(MixturePosterior):
    """The posterior given magnitudes with larger errors, or without some bands.

    `Posterior.widen` makes it. p(targets | observed) is the mean of p(targets | x) over the inputs
    x that the training set's camera may have given: each draw is of an x of its own. Draws depend
    on seed and number as those of `Posterior`; with no error larger and no band missing they are
    the same, up to rounding. It has draws, not densities, and neither heads nor the flag
    `out_of_distribution`: all these are functions of inputs that were not observed.
    """

    _elsewhere = (
        "A widened posterior has draws alone: densities, heads, the flag of unusual galaxies and "
        "reweight() are methods of the posterior that widen() was called on."
    )

    def __init__(self, ensembles: Sequence[Ensemble]) -> None:
        super().__init__(ensembles)
        first = self._ensembles[0]
        self._magnitudes = Magnitudes.of(first.inputs, self._input_density(), first.input_scale)

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns: latents, magnitudes, and the magnitudes' extra errors."""
        bands = self._magnitudes.bands
        magnitudes = [f"{MAGNITUDE}{band}" for band in bands]
        return [*self._magnitudes.latents, *magnitudes, *(f"{EXTRA}{band}" for band in bands)]

    def _checked(self, inputs: Inputs) -> Tabular:
        """Missing bands are allowed here; latents must be finite, extra errors not negative."""
        rows = Tabular(inputs, self.inputs, "inputs")
        bad: list[int] = []
        for part in blocks(len(rows), _CHECKED_AT_ONCE):
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
        """Latents, magnitudes and extra errors of rows (n, inputs)."""
        latents = len(self._magnitudes.latents)
        magnitudes = latents + len(self._magnitudes.bands)
        return values[:, :latents], values[:, latents:magnitudes], values[:, magnitudes:]

    def _sample_blocks(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, range, Tensor]]:
        share = self.draws_per_member(draws)
        for part in blocks(len(rows), max(1, self._block_rows // share)):
            numbers = range(first_row + part.start, first_row + part.stop)
            latents, magnitudes, extra = self._split(rows[part])
            of_members = []
            for member in range(self.members):
                key = derive_seed(seed, "posterior", "magnitudes", member)
                noise = galaxy_noise(key, numbers, share, self._magnitudes.noise_size)
                # shared by both flows: a draw's properties and lines are of one galaxy
                inputs = self._magnitudes.draw(
                    latents, magnitudes, extra, noise.numpy().astype(np.float64)
                )
                of_flows = [e.sample_each(inputs, numbers, member, seed) for e in self._ensembles]
                of_members.append(torch.cat(of_flows, dim=-1))
            yield part, numbers, torch.stack(of_members, dim=1)
