"""Joint posteriors of all targets, from an ensemble of property and line branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import load_model

WEIGHTS, DESCRIPTION = "members.safetensors", "model.json"
# Rows of draws that pass through the flows at once. Whatever is asked for, the memory inside is
# that of so many rows; more would not be faster, because the activations leave the caches.
BLOCK_ROWS = 16_384


@dataclass
class Ensemble:
    """The members of one flow on one variant's inputs, and what belongs to them."""

    variant: str
    inputs: list[str]
    targets: list[str]
    input_scale: Standardiser
    target_scale: Standardiser
    members: list[Branch]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a folder flows/FLOW/VARIANT, or a file in it.

        Raises UserError where a file is absent, broken, or of another run than the other.
        """
        folder = Path(folder)
        folder = folder.parent if folder.name in (WEIGHTS, DESCRIPTION) else folder
        tensors, description = load_model(folder / WEIGHTS, folder / DESCRIPTION)
        try:
            return cls._rebuild(tensors, description)
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{folder / DESCRIPTION}: does not describe a flow of this version of mgsflow "
                f"({error}). Train it again with train-flow."
            ) from None

    @classmethod
    def _rebuild(cls, tensors: dict[str, Tensor], description: dict[str, Any]) -> Self:
        architecture = Architecture(**description["architecture"])
        members = []
        for i in range(description["members"]):
            branch = Branch(architecture)
            branch.load_state_dict(member_tensors(tensors, i))
            members.append(branch.eval().requires_grad_(False))
        return cls(
            description["variant"],
            description["inputs"],
            architecture.targets,
            Standardiser.from_json(description["standardisation"]["inputs"]),
            Standardiser.from_json(description["standardisation"]["targets"]),
            members,
        )

    def to(self, device: torch.device | str) -> Self:
        for member in self.members:
            member.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.members[0].residual_scale.device

    def standardise(self, inputs: np.ndarray) -> Tensor:
        return torch.from_numpy(self.input_scale.apply(inputs)).to(self.device)


class Posterior:
    """p(properties, lines | inputs) of galaxies, by a deep ensemble.

    Values are in the targets' own units; lines are in ln(1 + F), F in 1e-17 erg / (s cm2).

        posterior = Posterior.load("flows/property/VARIANT", "flows/line/VARIANT")
        draws = posterior.sample(table, draws=1000, seed=1)

    `inputs` of the methods is a DataFrame with the columns `posterior.inputs`, or an array with
    those columns in that order. A row with a NaN or an infinity is refused, by its number.
    """

    def __init__(self, ensembles: list[Ensemble]) -> None:
        if not ensembles:
            raise UserError("a posterior needs a property model, a line model, or both")
        first = ensembles[0]
        for other in ensembles[1:]:
            _agree(first, other)
        self._ensembles = ensembles

    @classmethod
    def load(cls, property_folder: Path | None = None, line_folder: Path | None = None) -> Self:
        """From the folders flows/property/VARIANT and flows/line/VARIANT; either may be left out.

        Raises UserError where a model is absent or broken, or the two were trained on different
        inputs or with different numbers of members.
        """
        folders = [folder for folder in (property_folder, line_folder) if folder is not None]
        return cls([Ensemble.load(Path(folder)) for folder in folders])

    def only(self, targets: list[str]) -> Posterior | None:
        """The posterior of the model of `targets` alone, all of one flow; None if there is none."""
        chosen = [ensemble for ensemble in self._ensembles if ensemble.targets == list(targets)]
        return Posterior(chosen) if chosen else None

    def to(self, device: torch.device | str) -> Self:
        """Move the models to a device. The noise of the draws stays the same on all of them."""
        for ensemble in self._ensembles:
            ensemble.to(device)
        return self

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
    def members(self) -> int:
        return len(self._ensembles[0].members)

    @property
    def detects(self) -> bool:
        """Whether the probability that metallicity is measurable is modelled."""
        return any(ensemble.members[0].heads.detect is not None for ensemble in self._ensembles)

    def draws_per_member(self, draws: int) -> int:
        """Each member's share of `draws`, rounded up."""
        return -(-draws // self.members)

    @torch.inference_mode()
    def sample(
        self, inputs: pd.DataFrame | np.ndarray, draws: int, seed: int, first_row: int = 0
    ) -> np.ndarray:
        """Joint draws, (n, members, draws_per_member, targets), float32.

        The members are equal parts of a mixture: reshape to (n, -1, targets) for its draws, of
        which there are at least `draws` a galaxy. Metallicity is drawn given the other properties
        of the same draw. A galaxy's draws depend on `seed` and on its number, which counts from
        `first_row`, and on nothing else: the same for a table in one piece or in several.
        """
        values = self._check(inputs)
        share = self.draws_per_member(draws)
        out = np.empty((len(values), self.members, share, len(self.targets)), np.float32)
        block = max(1, BLOCK_ROWS // share)
        for start in range(0, len(values), block):
            rows = slice(start, start + block)
            numbers = range(first_row + start, first_row + min(start + block, len(values)))
            out[rows] = self._sample_block(values[rows], numbers, share, seed)
        return out

    def _sample_block(
        self, values: np.ndarray, numbers: range, share: int, seed: int
    ) -> np.ndarray:
        out = np.empty((len(values), self.members, share, len(self.targets)), np.float32)
        for ensemble, columns in self._parts():
            inputs = ensemble.standardise(values)
            for i, branch in enumerate(ensemble.members):
                key = derive_seed(seed, "posterior", ",".join(ensemble.targets), i)
                noise = galaxy_noise(key, numbers, (share, branch.noise_size))
                draws = branch.sample(branch.predict(inputs), noise.to(ensemble.device))
                out[:, i, :, columns] = ensemble.target_scale.invert(draws.cpu().numpy())
        return out

    @torch.inference_mode()
    def mean_head(self, inputs: pd.DataFrame | np.ndarray) -> np.ndarray:
        """The regression heads' own predictions, (n, members, targets), float32."""
        values = self._check(inputs)
        out = np.empty((len(values), self.members, len(self.targets)), np.float32)
        for ensemble, columns in self._parts():
            standardised = ensemble.standardise(values)
            for i, branch in enumerate(ensemble.members):
                mean = branch.predict(standardised).mean.cpu().numpy()
                out[:, i, columns] = ensemble.target_scale.invert(mean)
        return out

    @torch.inference_mode()
    def measurable(self, inputs: pd.DataFrame | np.ndarray) -> np.ndarray | None:
        """Probability that metallicity is measurable, (n, members), or None if not modelled."""
        values = self._check(inputs)
        if not self.detects:
            return None
        ensemble = next(e for e in self._ensembles if e.members[0].heads.detect is not None)
        standardised = ensemble.standardise(values)
        logits = [branch.predict(standardised).logit for branch in ensemble.members]
        return torch.sigmoid(torch.stack(logits, dim=1)).cpu().numpy()

    @torch.inference_mode()
    def log_prob(
        self, inputs: pd.DataFrame | np.ndarray, values: pd.DataFrame | np.ndarray
    ) -> np.ndarray:
        """Each member's joint log-density of `values`, (n, members).

        `values` has the columns `targets`, in that order if it is an array. In nats, per unit of
        each target. The mixture's is the logarithm of the members' mean density. Where
        metallicity is NaN the density is that of the other targets; a NaN elsewhere is refused,
        by its row.
        """
        rows = self._check(inputs)
        truth = _array(values, self.targets, "values")
        if len(truth) != len(rows):
            raise UserError(f"inputs have {len(rows)} rows, values {len(truth)}: give as many")
        missing = np.isnan(truth) & [name == METALLICITY for name in self.targets]
        _refuse(~np.isfinite(truth) & ~missing, "values", self.targets)
        total = np.zeros((len(rows), self.members))
        for ensemble, columns in self._parts():
            inputs_s = ensemble.standardise(rows)
            scale = ensemble.target_scale
            truth_s = torch.from_numpy(scale.apply(truth[:, columns])).to(ensemble.device)
            widths = np.where(np.isnan(truth[:, columns]), 1.0, scale.std)
            for i, branch in enumerate(ensemble.members):
                total[:, i] += branch.log_prob(branch.predict(inputs_s), truth_s).cpu().numpy()
            total -= np.log(widths).sum(axis=1, keepdims=True)
        return total

    def _parts(self) -> Iterator[tuple[Ensemble, slice]]:
        """The ensembles, and where their targets lie on the last axis."""
        start = 0
        for ensemble in self._ensembles:
            yield ensemble, slice(start, start + len(ensemble.targets))
            start += len(ensemble.targets)

    def _check(self, inputs: pd.DataFrame | np.ndarray) -> np.ndarray:
        values = _array(inputs, self.inputs, "inputs")
        _refuse(~np.isfinite(values), "inputs", self.inputs)
        return values


def member_tensors(tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
    """The state of one member among the tensors of all: those named MEMBER.NAME, as NAME."""
    prefix = f"{member}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def galaxy_noise(key: int, numbers: range, shape: tuple[int, int]) -> Tensor:
    """Standard normal numbers for each galaxy's number, (n, *shape).

    Counter-based (Philox, Salmon et al. 2011): a galaxy's numbers do not depend on the others'.
    """
    rows = [
        np.random.Generator(np.random.Philox(key=[key, number])).standard_normal(shape, np.float32)
        for number in numbers
    ]
    return torch.from_numpy(np.stack(rows))


def _agree(first: Ensemble, other: Ensemble) -> None:
    if first.inputs != other.inputs:
        raise UserError(
            f"the property model takes {first.inputs}, the line model {other.inputs}: load two "
            "models of the same variant"
        )
    if len(first.members) != len(other.members):
        raise UserError(
            f"the property model has {len(first.members)} members, the line model "
            f"{len(other.members)}: train both with the same flows.members"
        )


def _array(values: pd.DataFrame | np.ndarray, names: list[str], what: str) -> np.ndarray:
    if isinstance(values, pd.DataFrame):
        absent = [name for name in names if name not in values]
        if absent:
            raise UserError(f"{what}: no column {', '.join(absent)}; expected {', '.join(names)}")
        return values[names].to_numpy(np.float64)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise UserError(
            f"{what}: an array of shape {array.shape}; expected (n, {len(names)}), the columns "
            f"{', '.join(names)}"
        )
    return array


def _refuse(bad: np.ndarray, what: str, names: list[str]) -> None:
    rows = np.flatnonzero(bad.any(axis=1))
    if len(rows):
        columns = [names[i] for i in np.flatnonzero(bad.any(axis=0))]
        more = ", ..." if len(rows) > 10 else ""
        raise UserError(
            f"{what}: {len(rows)} of {len(bad)} rows have a NaN or an infinity in "
            f"{', '.join(columns)}: rows {', '.join(map(str, rows[:10]))}{more}. Leave them out."
        )
