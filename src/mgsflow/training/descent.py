"""The optimisation of one model: optimiser, learning rate, best weights, learning curve."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.errors import UserError

# Factor of the learning rate after a third of the patience without progress
PLATEAU_FACTOR = 0.5

Curve = list[tuple[int, float, float]]  # epoch, training loss, validation loss


class Descent:
    """AdamW on one model's weights, (parameters,), with early stopping after `flows.patience`.

    The learning rate is reduced when the validation loss reaches a plateau.
    """

    def __init__(self, weights: Tensor, flows: Flows) -> None:
        on_gpu = weights.is_cuda
        # a CUDA graph reads the rate from the same address as when it was recorded, so the rate
        # must lie in the device's memory
        rate = torch.tensor(flows.learning_rate, device=weights.device)
        self._weights = nn.Parameter(weights)
        self._patience = flows.patience
        self.optimiser = torch.optim.AdamW(
            [self._weights],
            lr=rate if on_gpu else flows.learning_rate,
            weight_decay=flows.weight_decay,
            fused=True,
            capturable=on_gpu,
        )
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, factor=PLATEAU_FACTOR, patience=max(1, flows.patience // 3)
        )
        self._best_loss = math.inf
        self._best_epoch = -1
        self.best = weights.clone()
        self.curve: Curve = []

    def move(self, weights: Tensor, gradient: Tensor) -> None:
        """Continue with weights and gradient in these tensors."""
        self._weights.data = weights
        self._weights.grad = gradient

    def enter(self, train: float, validation: float) -> None:
        """Record the losses of an epoch. Raises UserError if one is not finite."""
        epoch = len(self.curve)
        if not math.isfinite(train + validation):
            raise UserError(
                f"training diverged in epoch {epoch}: the loss is {train}, on validation "
                f"{validation}. Lower flows.learning_rate."
            )
        self.curve.append((epoch, train, validation))
        self._plateau.step(validation)
        if validation < self._best_loss:
            self._best_loss, self._best_epoch = validation, epoch
            self.best.copy_(self._weights.detach())

    @property
    def ended(self) -> bool:
        return len(self.curve) - 1 - self._best_epoch >= self._patience
