"""The loop over epochs: best weights, early stopping, checkpoints, history."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mgsflow.config import Compute
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.telemetry import Telemetry

Losses = dict[str, float]


def choose_device(compute: Compute) -> torch.device:
    """The device that the settings select; `auto` selects a GPU if there is one."""
    available = torch.cuda.is_available()
    if compute.device == "cuda" and not available:
        raise UserError(
            "compute.device is `cuda`, but torch finds no GPU here. Run this stage on a GPU node, "
            "or set compute.device to `auto` or `cpu`."
        )
    return torch.device("cuda" if available and compute.device != "cpu" else "cpu")


@dataclass
class Fit:
    """The state of a training: all that a checkpoint must hold beside model and optimizer.

    `history` has a row per epoch; `best` holds the weights of the epoch with the lowest validation
    loss.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def enter(self, losses: Losses, seconds: float, model: nn.Module) -> None:
        """Record the epoch that has just ended."""
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **losses, "seconds": round(seconds, 3)})
        if losses["validation_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = losses["validation_loss"], self.epoch
            self.best = {name: value.detach().clone() for name, value in model.state_dict().items()}


@dataclass(frozen=True)
class Loop:
    """Trains `model` for at most `epochs`, and stops after `patience` epochs without improvement.

    Each epoch is `train_epoch(epoch)` followed by `validate()`; both return named losses, and those
    of `validate` must include `validation_loss`. The state is saved after each epoch. An
    interrupted training continues from there and ends with the same bits, provided that the random
    numbers in `train_epoch` depend only on the epoch's number or on torch's global generators.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int
    patience: int
    checkpoints: Checkpoints
    telemetry: Telemetry

    def run(self, train_epoch: Callable[[int], Losses], validate: Callable[[], Losses]) -> Fit:
        """Train, and set the model to its best weights. Raises UserError if the loss diverges."""
        fit = self._resume()
        while fit.epoch < self.epochs and fit.epoch - fit.best_epoch < self.patience:
            start = time.perf_counter()
            losses = train_epoch(fit.epoch + 1) | validate()
            fit.enter(losses, time.perf_counter() - start, self.model)
            self._report(fit)
            self._save(fit)
        self.model.load_state_dict(fit.best)
        return fit

    def _report(self, fit: Fit) -> None:
        last = fit.history[-1]
        facts = ", ".join(
            f"{name.replace('_', ' ')} {value:.5g}"
            for name, value in last.items()
            if name != "epoch"
        )
        best = " (best)" if fit.best_epoch == fit.epoch else f" (best: {fit.best_epoch})"
        seconds = sum(row["seconds"] for row in fit.history) / fit.epoch
        left = (self.epochs - fit.epoch) * seconds
        say(
            f"{self.name}: epoch {fit.epoch}/{self.epochs}{best}: {facts}; "
            f"at most {left:.0f} s left"
        )
        if not fit.best:
            raise UserError(
                f"{self.name}: the validation loss is {last['validation_loss']} after epoch "
                f"{fit.epoch}: training diverges. Lower its learning_rate."
            )

    def _save(self, fit: Fit) -> None:
        self.checkpoints.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "fit": vars(fit),
                "cost": self.telemetry.so_far(),
            }
        )

    def _resume(self) -> Fit:
        state = self.checkpoints.load()
        if state is None:
            return Fit()
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        _lay_out(self.optimizer)
        self.telemetry.resume(state["cost"])
        fit = Fit(**state["fit"])
        say(f"{self.name}: continues after epoch {fit.epoch}, from {self.checkpoints.path}")
        return fit


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give a loaded state's tensors the memory format of their weights, such as channels last.

    A file stores values, not their order in memory; fused Adam refuses a different order.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
