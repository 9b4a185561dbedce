"""A deep ensemble on disk and in memory: the members of one flow on one variant's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.contract import DESCRIPTION
from mgsflow.core.errors import UserError
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.input_density import InputDensity
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import load_model
from mgsflow.posterior.noise import galaxy_noise

FLOWS = ("property", "line")


@dataclass
class Ensemble:
    """The members of one flow on one variant's inputs, and what belongs to them."""

    variant: str
    inputs: list[str]
    targets: list[str]
    input_scale: Standardiser
    target_scale: Standardiser
    members: list[Branch]
    input_density: InputDensity | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a folder flows/FLOW/VARIANT.

        Raises UserError where a file is absent, broken, or of another run than the other.
        """
        tensors, description = load_model(folder)
        try:
            return cls._rebuild(tensors, description)
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{Path(folder) / DESCRIPTION}: does not describe a flow of this version of "
                f"mgsflow ({error}). Train it again with train-flow."
            ) from None

    @classmethod
    def _rebuild(cls, tensors: dict[str, Tensor], description: dict[str, Any]) -> Self:
        architecture = Architecture(**description["architecture"])
        members = []
        for i in range(description["members"]):
            branch = Branch(architecture)
            branch.load_state_dict(_member_tensors(tensors, i))
            members.append(branch.eval().requires_grad_(False))
        return cls(
            description["variant"],
            description["inputs"],
            architecture.targets,
            Standardiser.from_json(description["standardisation"]["inputs"]),
            Standardiser.from_json(description["standardisation"]["targets"]),
            members,
            InputDensity.from_stored(tensors, description.get("input_density")),
        )

    def to(self, device: torch.device | str) -> Self:
        for member in self.members:
            member.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.members[0].residual_scale.device

    @property
    def detects(self) -> bool:
        """Whether the probability that metallicity is measurable is modelled."""
        return self.members[0].heads.detect is not None

    def sample(self, inputs: np.ndarray, numbers: range, share: int, seed: int) -> Tensor:
        """`share` draws of every member, (n, members, share, targets), in the targets' own units.

        `inputs`, (n, inputs), are those of the galaxies of these `numbers`. A galaxy's noise
        depends on seed, targets, member and its number alone.
        """
        standardised, draws = self.standardise(inputs), []
        for i, branch in enumerate(self.members):
            key = derive_seed(seed, "posterior", ",".join(self.targets), i)
            noise = galaxy_noise(key, numbers, share, branch.noise_size, self.device)
            draws.append(self.in_units(branch.sample(branch.predict(standardised), noise)))
        return torch.stack(draws, dim=1)

    def sample_each(self, inputs: np.ndarray, numbers: range, member: int, seed: int) -> Tensor:
        """Draws of one member, (n, draws, targets), each of inputs of its own.

        `inputs` has shape (n, draws, inputs). The noise is that of `sample`.
        """
        count, draws, size = inputs.shape
        branch = self.members[member]
        key = derive_seed(seed, "posterior", ",".join(self.targets), member)
        noise = galaxy_noise(key, numbers, draws, branch.noise_size, self.device)
        prediction = branch.predict(self.standardise(inputs.reshape(count * draws, size)))
        values = branch.sample(prediction, noise.reshape(count * draws, 1, -1))
        return self.in_units(values.view(count, draws, -1))

    def log_prob(self, inputs: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Log-density of `truth`, (n, targets), under every member, (n, members), float64.

        In nats, per unit of each target; where metallicity is NaN, of the other targets.
        """
        standardised = self.standardise(inputs)
        values = torch.from_numpy(self.target_scale.apply(truth)).to(self.device)
        members = [branch.log_prob(branch.predict(standardised), values) for branch in self.members]
        widths = np.where(np.isnan(truth), 1.0, self.target_scale.std)
        joint = torch.stack(members, dim=1).cpu().numpy().astype(np.float64)
        return joint - np.log(widths).sum(axis=1, keepdims=True)

    def mean_head(self, inputs: np.ndarray) -> np.ndarray:
        """The regression heads' predictions, (n, members, targets), in the targets' own units."""
        standardised = self.standardise(inputs)
        means = [self.in_units(branch.predict(standardised).mean) for branch in self.members]
        return torch.stack(means, dim=1).cpu().numpy()

    def measurable(self, inputs: np.ndarray) -> np.ndarray:
        """Probability that metallicity is measurable, (n, members), where it is modelled."""
        standardised = self.standardise(inputs)
        logits = [branch.predict(standardised).logit for branch in self.members]
        return torch.sigmoid(torch.stack(logits, dim=1)).cpu().numpy()

    def standardise(self, inputs: np.ndarray) -> Tensor:
        """Inputs in their own units, (n, inputs), as the members take them, on their device."""
        return torch.from_numpy(self.input_scale.apply(inputs)).to(self.device)

    def in_units(self, values: Tensor) -> Tensor:
        """Standardised targets, (..., targets), in their own units, on the members' device."""
        # in float32, as Standardiser.invert: the rounding is far below a posterior's width
        mean, std = (
            torch.from_numpy(part.astype(np.float32)).to(self.device)
            for part in (self.target_scale.mean, self.target_scale.std)
        )
        return values * std + mean


def check_together(first: Ensemble, other: Ensemble) -> None:
    """Raise UserError where two ensembles cannot be parts of one posterior."""
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
    shared = [name for name in other.targets if name in first.targets]
    if shared:
        raise UserError(
            f"two models infer {', '.join(shared)}: give one property and one line model"
        )


def find_models(folder: Path, variant: str | None = None) -> list[Path]:
    """The models' folders that `folder` stands for: its own, or all of a run's on one variant.

    `folder` is a model's folder, a run's folder flows/, which holds
    FLOW/VARIANT/, or the run's folder, which holds flows/. Raises UserError where `variant` is not
    there, or is left open and several are.
    """
    folder = Path(folder)
    if (folder / "flows").is_dir():
        folder = folder / "flows"
    folders = [
        path.parent for flow in FLOWS for path in sorted((folder / flow).glob(f"*/{DESCRIPTION}"))
    ]
    if not folders:
        return [folder]
    variants = sorted({path.name for path in folders})
    if variant is None and len(variants) > 1:
        raise UserError(
            f"{folder}: has models of several variants; choose one, variant=...: "
            f"{', '.join(variants)}"
        )
    if variant is not None and variant not in variants:
        raise UserError(f"{folder}: has no model of {variant}, only of {', '.join(variants)}")
    return [path for path in folders if path.name == (variant or variants[0])]


def _member_tensors(tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
    """The state of one member among the tensors of all: those named MEMBER.NAME, as NAME."""
    prefix = f"{member}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
