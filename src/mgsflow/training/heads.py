"""Fitting the encoder and its heads, which are frozen afterwards (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.models.branch import Architecture
from mgsflow.models.encoder import Heads, combined_loss
from mgsflow.training.descent import Curve
from mgsflow.training.fitting import fit, seeded


@dataclass(frozen=True)
class Rows:
    """Standardised inputs, (n, inputs), and targets, (n, targets), NaN where O/H is missing."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def columns(self) -> list[Tensor]:
        """The columns that all models of a stack share, each (1, n, ...)."""
        return [self.inputs[None], self.targets[None]]


class _Loss(nn.Module):
    """The heads' loss on a batch of standardised inputs and targets."""

    def __init__(self, heads: Heads, architecture: Architecture) -> None:
        super().__init__()
        self.heads = heads
        self._metallicity = architecture.metallicity if architecture.detects else None

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        measured = None
        if self._metallicity is not None:
            measured = (~torch.isnan(targets[:, self._metallicity])).float()
        return combined_loss(self.heads(inputs), targets, measured)


def fit_heads(
    train: Rows,
    validation: Rows,
    architecture: Architecture,
    flows: Flows,
    seeds: Sequence[int],
    rows: Sequence[Tensor] | None = None,
    name: str = "heads",
) -> tuple[list[Heads], list[Curve]]:
    """Fit heads for each of `seeds` to `train`, or to each one's `rows`; heads and their curves.

    The returned heads are frozen.
    """
    losses = []
    for seed in seeds:
        with seeded(seed):
            heads = Heads(
                architecture.inputs, len(architecture.targets), architecture.detects, flows
            ).to(train.inputs.device)
        heads.bound(train.inputs)
        losses.append(_Loss(heads, architecture))
    curves = fit(losses, train.columns(), validation.columns(), flows, seeds, name, rows)
    return [loss.heads.requires_grad_(False) for loss in losses], curves
