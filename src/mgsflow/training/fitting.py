"""The loop that fits heads and flows: AdamW, minibatches of tensors in memory, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.errors import UserError

GRADIENT_NORM = 5.0  # largest norm of a step's gradient; a rare outlier must not throw a flow
PLATEAU_FACTOR = 0.5  # of the learning rate, after a third of the patience without progress

Curve = list[tuple[int, float, float]]  # epoch, training loss, validation loss


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch's global generators start at `seed`; afterwards they are as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    validate: Callable[[], Tensor],
    rows: Tensor,
    flows: Flows,
    patience: int | None = None,
) -> Curve:
    """Fit `model` to the training rows and leave it with the weights of its best epoch.

    Parameters
    ----------
    loss : the loss of the rows with the given indices
    validate : the loss of the validation rows; called in eval mode, without gradients
    rows : (n,) int64, the indices of the training rows
    patience : epochs without a better validation loss before the end; None: `flows.patience`

    Raises UserError if the loss stops being finite.
    """
    patience = flows.patience if patience is None else patience
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=flows.learning_rate, weight_decay=flows.weight_decay, fused=True
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=PLATEAU_FACTOR, patience=max(1, patience // 3)
    )
    best, best_state, since = math.inf, _state(model), 0
    curve: Curve = []
    for epoch in range(flows.epochs):
        train = _epoch(model, loss, rows, flows.batch_size, optimiser)
        validation = _validate(model, validate)
        if not math.isfinite(train + validation):
            raise UserError(
                f"training diverged in epoch {epoch}: the loss is {train}, on validation "
                f"{validation}. Lower flows.learning_rate."
            )
        curve.append((epoch, train, validation))
        plateau.step(validation)
        if validation < best:
            best, best_state, since = validation, _state(model), 0
        else:
            since += 1
        if since >= patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    return curve


def _epoch(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    rows: Tensor,
    batch_size: int,
    optimiser: torch.optim.Optimizer,
) -> float:
    model.train()
    # permuted on the CPU, so that the order of the rows is the same on every device
    order = rows[torch.randperm(len(rows)).to(rows.device)]
    total = torch.zeros((), device=rows.device)
    # of equal size: a last batch of three rows would be a step of noise
    for batch in torch.tensor_split(order, math.ceil(len(order) / batch_size)):
        value = loss(batch)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimiser.step()
        total += value.detach() * len(batch)
    return float(total) / len(order)


def _validate(model: nn.Module, validate: Callable[[], Tensor]) -> float:
    model.eval()
    with torch.no_grad():
        return float(validate())


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
