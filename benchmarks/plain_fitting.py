"""The loop of training/fitting.py in its simplest form: one model, one optimiser, one batch."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.training.descent import PLATEAU_FACTOR, Curve
from mgsflow.training.fitting import GRADIENT_NORM


def plain_fit(
    model: nn.Module,
    train: list[Tensor],
    validation: list[Tensor],
    flows: Flows,
    orders: list[Tensor],
) -> Curve:
    """Fit `model`, whose forward takes columns (n, ...), to the rows in the order of each epoch."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=flows.learning_rate, weight_decay=flows.weight_decay
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=PLATEAU_FACTOR, patience=max(1, flows.patience // 3)
    )
    best, best_state, since = math.inf, copy.deepcopy(model.state_dict()), 0
    curve: Curve = []
    for epoch in range(flows.epochs):
        model.train()
        total = 0.0
        for batch in orders[epoch].tensor_split(math.ceil(len(orders[epoch]) / flows.batch_size)):
            loss = model(*[column[batch] for column in train])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
            optimiser.step()
            total += loss.item() * len(batch)
        model.eval()
        with torch.no_grad():
            held = model(*validation).item()
        curve.append((epoch, total / len(orders[epoch]), held))
        plateau.step(held)
        since += 1
        if held < best:
            best, best_state, since = held, copy.deepcopy(model.state_dict()), 0
        if since >= flows.patience:
            break
    model.load_state_dict(best_state)
    return curve
