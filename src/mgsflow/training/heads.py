"""Fitting the encoder and its heads, which are frozen afterwards (paper, section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgsflow.config.models import Flows
from mgsflow.models.branch import Architecture
from mgsflow.models.encoder import Heads, combined_loss
from mgsflow.training.fitting import Curve, fit, seeded


@dataclass(frozen=True)
class Rows:
    """Standardised inputs, (n, inputs), and targets, (n, targets), NaN where O/H is missing."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def fit_heads(
    train: Rows,
    validation: Rows,
    architecture: Architecture,
    flows: Flows,
    seed: int,
    rows: Tensor | None = None,
) -> tuple[Heads, Curve]:
    """Heads fitted to `train`, or to its rows `rows`, and their curve. They come frozen."""
    device = train.inputs.device
    rows = torch.arange(len(train), device=device) if rows is None else rows

    def loss(part: Rows, batch: Tensor | slice) -> Tensor:
        truth = part.targets[batch]
        return combined_loss(heads(part.inputs[batch]), truth, _measured(truth, architecture))

    with seeded(seed):
        heads = Heads(
            architecture.inputs, len(architecture.targets), architecture.detects, flows
        ).to(device)
        curve = fit(
            heads,
            lambda batch: loss(train, batch),
            lambda: loss(validation, slice(None)),
            rows,
            flows,
        )
    return heads.requires_grad_(False), curve


def _measured(targets: Tensor, architecture: Architecture) -> Tensor | None:
    if not architecture.detects:
        return None
    return (~torch.isnan(targets[:, architecture.metallicity])).float()
