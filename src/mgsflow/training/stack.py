"""Models of one shape as one: their weights in a single tensor, their losses in one call.

A member of an ensemble is too small for a GPU, which waits for the host between its kernels; all
members take little longer than one (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class Stack:
    """The losses of `models`, modules of one architecture that differ in their weights alone.

    A model's `forward` takes a batch's columns and gives their loss, a scalar. `weights`, (models,
    parameters), holds a copy of all their parameters, on which `losses` can be differentiated.

    Raises ValueError where the models' buffers differ: all are called with those of the first.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self._base = models[0]
        self._shapes = {name: part.shape for name, part in self._base.named_parameters()}
        self._sizes = [shape.numel() for shape in self._shapes.values()]
        for model in models[1:]:
            for one, other in zip(self._base.buffers(), model.buffers(), strict=True):
                if not torch.equal(one, other):
                    raise ValueError("the models of a stack share their buffers; these differ")
        flat = [nn.utils.parameters_to_vector(model.parameters()).detach() for model in models]
        self.weights = torch.stack(flat).requires_grad_()

    @property
    def device(self) -> torch.device:
        return self.weights.device

    def __len__(self) -> int:
        return len(self.weights)

    def train(self, mode: bool = True) -> None:
        """Whether dropout drops."""
        self._base.train(mode)

    def keep(self, models: Tensor) -> None:
        """Go on with some of the models, by their numbers."""
        self.weights = self.weights.detach()[models].clone().requires_grad_()

    def losses(self, columns: Sequence[Tensor]) -> Tensor:
        """The loss of each model, (models,).

        `columns` are a batch's: of all models, (1, rows, ...), or each model's own, (models, rows,
        ...).
        """
        batch = [column.expand(len(self), *column.shape[1:]) for column in columns]
        return vmap(self._loss, randomness="different")(self.weights, *batch)

    def _loss(self, weights: Tensor, *batch: Tensor) -> Tensor:
        parts = zip(self._shapes.items(), weights.split(self._sizes), strict=True)
        return functional_call(
            self._base, {name: part.view(shape) for (name, shape), part in parts}, batch
        )


@torch.no_grad()
def write_weights(weights: Tensor, model: nn.Module) -> None:
    """Give `model` the parameters in `weights`, (parameters,), a row of a stack's."""
    parts = weights.split([parameter.numel() for parameter in model.parameters()])
    for parameter, part in zip(model.parameters(), parts, strict=True):
        parameter.copy_(part.view_as(parameter))
