"""What every posterior can do: draw, chunk by chunk where the draws are many, and summarise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import QUANTITIES
from mgsflow.core.tabular import Tabular, blocks

# Numbers in one chunk of draws (32 MB) and in the largest array that `sample` returns (8 GiB).
CHUNK_NUMBERS, MOST_NUMBERS = 2**23, 2**31

Inputs = pd.DataFrame | np.ndarray


class BasePosterior(ABC):
    """p(targets | inputs) of galaxies, of which draws can be taken.

    `Posterior` describes inputs, values and seeds. What else a posterior can do follows from its
    class: a `DensityPosterior` has densities, a `MixturePosterior` has members, and `Posterior`,
    the posterior as trained, has both and the models' regression heads.
    """

    _elsewhere: ClassVar[str] = ""  # where to find what this class lacks, as a sentence

    @property
    @abstractmethod
    def variant(self) -> str:
        """Name of the variant of the inputs that the models were trained on."""

    @property
    @abstractmethod
    def inputs(self) -> list[str]:
        """Names of the input columns, in order."""

    @property
    @abstractmethod
    def targets(self) -> list[str]:
        """Names of what is inferred: properties, then lines, in the settings' order."""

    @property
    def units(self) -> dict[str, str]:
        """Each target's unit, in astropy's spelling; empty for a pure number."""
        return {name: QUANTITIES[name].unit for name in self.targets}

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Move the models to a device. The noise of the draws is the same on all devices."""

    @abstractmethod
    def only(self, targets: list[str]) -> Self | None:
        """The posterior of the one flow whose targets are `targets`; None if there is none."""

    @abstractmethod
    def sample(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws, (n, draws, targets), float32.

        `first_row` is the number of the table's first galaxy. Raises UserError where the result
        would take more than 8 GiB: see `chunks`.
        """

    def chunks(
        self, inputs: Inputs, draws: int = 1000, seed: int = 0, size: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """The draws of `sample` for any number of galaxies, chunk by chunk.

        Yields the rows of `inputs`, a slice, and their draws, (rows, draws, targets), float32, of
        `size` galaxies or, without it, of 32 MB. All inputs are checked before the first chunk.
        """
        check_draws(draws)
        rows = self._checked(inputs)
        size = size or max(1, CHUNK_NUMBERS // (draws * len(self.targets)))
        return (
            (part, self.sample(rows[part], draws, seed, part.start))
            for part in blocks(len(rows), size)
        )

    def mean(self, inputs: Inputs, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Means of the posterior, (n, targets), float64, from draws that are not kept."""
        return self._summarise(lambda chunk: chunk.mean(axis=1), inputs, draws, seed)

    def std(self, inputs: Inputs, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Standard deviations of the posterior, (n, targets), float64, from draws likewise."""
        return self._summarise(lambda chunk: chunk.std(axis=1), inputs, draws, seed)

    def quantiles(
        self,
        inputs: Inputs,
        levels: Sequence[float] = (0.16, 0.5, 0.84),
        draws: int = 1000,
        seed: int = 0,
    ) -> np.ndarray:
        """Quantiles of each target's marginal posterior, (n, levels, targets), float64."""
        fractions = np.asarray(levels, dtype=np.float64)
        if fractions.ndim != 1 or not ((fractions >= 0) & (fractions <= 1)).all():
            raise UserError(f"levels of quantiles must be a list of numbers in [0, 1]: {levels}")
        return self._summarise(
            lambda chunk: np.moveaxis(np.quantile(chunk, fractions, axis=1), 0, 1),
            inputs,
            draws,
            seed,
            (len(fractions),),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._described()}>"

    if not TYPE_CHECKING:  # a type checker must still report an attribute that does not exist

        def __getattr__(self, name: str) -> object:
            """Say what there is instead, and where the rest is, when an attribute is missing."""
            if hasattr(type(self), name):  # a property that failed inside: raise its own error
                return object.__getattribute__(self, name)
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                public = [each for each in dir(type(self)) if not each.startswith("_")]
                message = f"{message}. It has {', '.join(public)}. {self._elsewhere}".rstrip()
            raise AttributeError(message, name=name, obj=self)

    def _described(self) -> str:
        return f"{', '.join(self.targets)} given {self.variant} ({len(self.inputs)} inputs)"

    def _summarise(
        self,
        statistic: Callable[[np.ndarray], np.ndarray],
        inputs: Inputs,
        draws: int,
        seed: int,
        shape: tuple[int, ...] = (),
    ) -> np.ndarray:
        """`statistic` of every chunk's draws in float64, (n, *shape, targets)."""
        out = np.empty((len(inputs), *shape, len(self.targets)))
        for part, chunk in self.chunks(inputs, draws, seed):
            out[part] = statistic(chunk.astype(np.float64))
        return out

    def _checked(self, inputs: Inputs) -> Tabular:
        """The inputs' columns. Raises UserError, with the rows' numbers, where they are invalid."""
        return Tabular(inputs, self.inputs, "inputs").refuse_missing()

    def _check_size(self, galaxies: int, draws: int) -> None:
        if galaxies * draws * len(self.targets) > MOST_NUMBERS:
            raise UserError(
                f"{galaxies} galaxies x {draws} draws x {len(self.targets)} targets are more than "
                f"the {MOST_NUMBERS * 4 / 2**30:g} GiB of one array: take them from "
                "Posterior.chunks, or ask for mean, std or quantiles, which keep no draws."
            )


def check_draws(draws: int) -> None:
    if draws < 1:
        raise UserError(f"draws must be 1 or more, not {draws}")
