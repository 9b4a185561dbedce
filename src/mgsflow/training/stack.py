"""Several models of one architecture: all weights in one tensor, all losses in one call.

A single member of an ensemble is too small for a GPU, which waits for the host between kernels; all
members together take little longer than one (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class Stack:
    """The losses of `models`, modules of one architecture that differ only in their weights.

    A model's `forward` takes a batch's columns and returns their loss, a scalar. `weights`,
    (models, parameters), is a copy of all parameters; `losses` is differentiable with respect to
    it.

    Raises ValueError if the models' buffers differ: all models use the buffers of the first.
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
        """Switch dropout on or off."""
        self._base.train(mode)

    def keep(self, models: Tensor) -> None:
        """Continue with some of the models, by number."""
        self.weights = self.weights.detach()[models].clone().requires_grad_()

    def losses(self, columns: Sequence[Tensor]) -> Tensor:
        """The loss of each model, (models,).

        `columns` are those of a batch: shared by all models, (1, rows, ...), or one per model,
        (models, rows, ...).
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
    """Set the parameters of `model` to `weights`, (parameters,), one row of a stack's weights."""
    parts = weights.split([parameter.numel() for parameter in model.parameters()])
    for parameter, part in zip(model.parameters(), parts, strict=True):
        parameter.copy_(part.view_as(parameter))
