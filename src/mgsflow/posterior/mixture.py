"""Draws from the mixture of an ensemble's members, block by block."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tabular import Tabular
from mgsflow.models.input_density import InputDensity
from mgsflow.posterior.base import BasePosterior, Inputs, check_draws
from mgsflow.posterior.ensemble import Ensemble, check_together
from mgsflow.posterior.noise import galaxy_choice

# Rows of draws that pass through a flow at once, by device: they set the memory that is needed,
# whatever is asked for. On a CPU more would be slower, because the activations leave the caches;
# on a GPU fewer would, because starting a block's kernels takes longer than their work.
BLOCK_ROWS = {"cpu": 2**14, "cuda": 2**19}


class MixturePosterior(BasePosterior):
    """A posterior that is the mixture, in equal parts, of the members of trained ensembles.

    `ensembles` are one for each flow, of the same inputs and with the same number of members.
    """

    def __init__(self, ensembles: Sequence[Ensemble]) -> None:
        if not ensembles:
            raise UserError("a posterior needs a property model, a line model, or both")
        for other in ensembles[1:]:
            check_together(ensembles[0], other)
        self._ensembles = list(ensembles)

    @property
    def variant(self) -> str:
        return self._ensembles[0].variant

    @property
    def targets(self) -> list[str]:
        return [name for ensemble in self._ensembles for name in ensemble.targets]

    @property
    def members(self) -> int:
        """Number of members of each ensemble."""
        return len(self._ensembles[0].members)

    def draws_per_member(self, draws: int) -> int:
        """Each member's share of `draws`, rounded up."""
        check_draws(draws)
        return -(-draws // self.members)

    def to(self, device: torch.device | str) -> Self:
        for ensemble in self._ensembles:
            ensemble.to(device)
        return self

    def only(self, targets: list[str]) -> Self | None:
        ensembles = [each for each in self._ensembles if each.targets == list(targets)]
        return type(self)(ensembles) if ensembles else None

    @torch.inference_mode()
    def sample(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws from the mixture of the members, (n, draws, targets), float32.

        The members take turns from draw to draw, and a galaxy's first draw is of a member chosen at
        random: any run of `members` draws has one of each. `first_row` is the number of the table's
        first galaxy. Raises UserError where the result would take more than 8 GiB: see `chunks`.
        """
        check_draws(draws)
        rows = self._checked(inputs)
        self._check_size(len(rows), draws)
        out = np.empty((len(rows), draws, len(self.targets)), np.float32)
        for part, numbers, of_members in self._sample_blocks(rows, draws, seed, first_row):
            key = derive_seed(seed, "posterior", "member")
            first = galaxy_choice(key, numbers, self.members, of_members.device)
            out[part] = mix(of_members, first, draws).cpu().numpy()
        return out

    @torch.inference_mode()
    def sample_members(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Each member's joint draws, (n, members, draws_per_member, targets), float32.

        All of them together are at least `draws` a galaxy, and equal parts of the mixture.
        """
        rows = self._checked(inputs)
        share = self.draws_per_member(draws)
        self._check_size(len(rows), share * self.members)
        out = np.empty((len(rows), self.members, share, len(self.targets)), np.float32)
        for part, _, of_members in self._sample_blocks(rows, draws, seed, first_row):
            out[part] = of_members.cpu().numpy()
        return out

    @abstractmethod
    def _sample_blocks(
        self, rows: Tabular, draws: int, seed: int, first_row: int
    ) -> Iterator[tuple[slice, range, Tensor]]:
        """Block by block: rows, their galaxies' numbers, draws (rows, members, share, targets)."""

    def _described(self) -> str:
        return f"{super()._described()}, {self.members} members"

    @property
    def _block_rows(self) -> int:
        return BLOCK_ROWS.get(self._ensembles[0].device.type, BLOCK_ROWS["cpu"])

    def _input_density(self) -> InputDensity:
        density = self._ensembles[0].input_density
        if density is None:
            raise UserError(
                f"the model of {self.variant} holds no density of its inputs: it was trained by a "
                "version of mgsflow that fitted none. Train it again with train-flow."
            )
        return density


def mix(of_members: Tensor, first: Tensor, draws: int) -> Tensor:
    """`draws` draws of the mixture, (n, draws, targets), from (n, members, share, targets).

    Draw j of a galaxy is of member first + j, modulo their number; `first` has shape (n,).
    """
    members = of_members.shape[1]
    order = torch.arange(draws, device=of_members.device)
    galaxy = torch.arange(len(of_members), device=of_members.device)[:, None]
    return of_members[galaxy, (first[:, None] + order) % members, order // members]
