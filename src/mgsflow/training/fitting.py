"""The loop that fits heads and flows: AdamW, minibatches of tensors in memory, early stopping.

Models of one architecture, such as the members of an ensemble, are fitted at once. Each has its own
order of the rows, its own learning rate and its own end, as if it were fitted alone; only the units
that dropout drops depend on the number of models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.progress import track
from mgsflow.core.seeds import derive_seed
from mgsflow.training.descent import Curve, Descent
from mgsflow.training.replay import Replay, on_side_stream, record_graph
from mgsflow.training.stack import Stack, write_weights

GRADIENT_NORM = 5.0  # maximum norm of a gradient, so that a rare outlier cannot derail a flow

Columns = Sequence[Tensor]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators within the block; afterwards their state is restored."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def fit(
    models: Sequence[nn.Module],
    train: Columns,
    validation: Columns,
    flows: Flows,
    seeds: Sequence[int],
    name: str,
    rows: Sequence[Tensor] | None = None,
) -> list[Curve]:
    """Fit each of `models`, set it to the weights of its best epoch, and return the curves.

    Parameters
    ----------
    models : modules of one architecture; `forward` takes a batch's columns and returns its loss
    train, validation : columns shared by all models, (1, n, ...), or one per model,
        (models, n, ...)
    seeds : one per model, for the order of its rows; dropout uses the first
    name : what is fitted, for the lines of progress
    rows : the training rows of each model, int64; None: all. Every model uses the same number of
        rows in an epoch, that of the model with the fewest; the others omit a random part.

    Raises UserError if a loss is not finite.
    """
    rows = [torch.arange(train[0].shape[1])] * len(models) if rows is None else rows
    fits = _Fits(models, flows)
    with seeded(seeds[0]):
        order = _orders(rows, seeds, 0)
        for epoch in track(range(flows.epochs), f"train-flow, {name}: epochs of at most"):
            losses = fits.train(train, order), fits.validate(validation)
            # drawn while a GPU still computes: reading the losses waits for the GPU
            order = _orders(rows, seeds, epoch + 1)
            if not fits.enter(*losses):
                break
    fits.finish(models)
    return [descent.curve for descent in fits.descents]


def _orders(rows: Sequence[Tensor], seeds: Sequence[int], epoch: int) -> Tensor:
    """Each model's rows in the order of an epoch, (models, rows).

    The order is drawn on the CPU, so that it is the same for every device.
    """
    fewest = min(map(len, rows))
    orders = []
    for own, seed in zip(rows, seeds, strict=True):
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        orders.append(own[torch.randperm(len(own), generator=generator)[:fewest]])
    return torch.stack(orders)


class _Fits:
    """Models in training: the stack of those that still improve, and the descent of each."""

    def __init__(self, models: Sequence[nn.Module], flows: Flows) -> None:
        self._flows = flows
        self._stack = Stack(models)
        self._numbers = torch.arange(len(models), device=self._stack.device)
        self.descents = [Descent(weights, flows) for weights in self._stack.weights.detach()]
        self._restart()

    def _restart(self) -> None:
        """Make buffers and steps for the models that are in the stack now."""
        self._gradient = torch.zeros_like(self._stack.weights)
        self._totals = torch.zeros(len(self._stack), device=self._stack.device)
        self._steps: dict[int, tuple[Tensor, Replay]] = {}  # by size of the batch
        self._going = [self.descents[number] for number in self._numbers.tolist()]
        for descent, *row in zip(
            self._going, self._stack.weights.detach(), self._gradient, strict=True
        ):
            descent.move(*row)

    def train(self, columns: Columns, order: Tensor) -> Tensor:
        """Train for an epoch; the mean loss of each model of the stack, on the device."""
        self._stack.train()
        self._totals.zero_()
        order = order.to(self._stack.device, non_blocking=True)[self._numbers]
        count = order.shape[1]
        # batches of equal size: the gradient of a last batch of three rows would be mostly noise
        for part in order.tensor_split(math.ceil(count / self._flows.batch_size), dim=1):
            index, step = self._step(columns, part.shape[1])
            index.copy_(part)
            step()
        return self._totals / count

    def _step(self, columns: Columns, size: int) -> tuple[Tensor, Replay]:
        """The buffer for the rows of a batch of `size`, and the step on it."""
        if size not in self._steps:
            index = self._numbers.new_zeros(len(self._stack), size)
            on_gpu = index.is_cuda
            step = Replay(
                lambda: self._descend(columns, index),
                record_graph if on_gpu else None,
                on_side_stream if on_gpu else None,
            )
            self._steps[size] = index, step
        return self._steps[size]

    def _descend(self, columns: Columns, index: Tensor) -> None:
        batch = [_take(column, self._numbers[:, None], index) for column in columns]
        losses = self._stack.losses(batch)
        (gradient,) = torch.autograd.grad(losses.sum(), self._stack.weights)
        norm = gradient.norm(dim=1, keepdim=True)
        # as nn.utils.clip_grad_norm_, but separately for each model
        torch.mul(gradient, (GRADIENT_NORM / (norm + 1e-6)).clamp(max=1), out=self._gradient)
        for descent in self._going:
            descent.optimiser.step()
        self._totals += losses.detach() * index.shape[1]

    @torch.no_grad()
    def validate(self, columns: Columns) -> Tensor:
        """The validation loss of each model of the stack, on the device."""
        self._stack.train(False)
        whole = len(self._stack) == len(self.descents)
        own = [c if whole or len(c) == 1 else c[self._numbers] for c in columns]
        return self._stack.losses(own)

    def enter(self, train: Tensor, validation: Tensor) -> bool:
        """Record an epoch's losses; whether any model still improves."""
        losses = torch.stack([train, validation], dim=1).tolist()
        for descent, (loss, held) in zip(self._going, losses, strict=True):
            descent.enter(loss, held)
        on = [i for i, descent in enumerate(self._going) if not descent.ended]
        if on and len(on) < len(self._going):
            kept = torch.tensor(on, device=self._numbers.device)
            self._stack.keep(kept)
            self._numbers = self._numbers[kept]
            self._restart()
        return bool(on)

    def finish(self, models: Sequence[nn.Module]) -> None:
        """Give `models` the weights of their best epochs, in eval mode."""
        for descent, model in zip(self.descents, models, strict=True):
            write_weights(descent.best, model)
            model.eval()


def _take(column: Tensor, models: Tensor, index: Tensor) -> Tensor:
    """Rows `index`, (models, size), of the shared column or of each model's own.

    The result has the shape (models, size, ...).
    """
    return column[0][index] if len(column) == 1 else column[models, index]
