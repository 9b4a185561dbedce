"""Training of an ensemble's members: first the heads, then, with these frozen, the flows.

The flows are fitted on the heads' residuals. All members go through each phase together
(training/stack.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.flows import ConditionalFlow
from mgsflow.training.descent import Curve
from mgsflow.training.fitting import fit, seeded
from mgsflow.training.heads import Rows, fit_heads
from mgsflow.training.residuals import training_means

HEADS, MEANS, CORE, METALLICITY = PHASES = ("heads", "means", "core", "metallicity")

State = dict[str, Any]


def fit_members(
    train: Rows,
    validation: Rows,
    architecture: Architecture,
    flows: Flows,
    seeds: Sequence[int],
    state: State | None = None,
    save: Callable[[State], None] = lambda state: None,
) -> tuple[list[Branch], list[dict[str, Curve]]]:
    """Fit a branch for each of `seeds`; the branches, and the curves of each one's phases.

    Members differ only in their seeds, which set the initial weights, the order of the rows,
    dropout and the folds. After each phase `save` is called with the state; a training that is
    given such a `state` continues from it.
    """
    training = _Training(train, validation, architecture, flows, seeds)
    if state is not None:
        training.resume(state)
    for phase in PHASES:
        if phase not in training.done:
            training.run(phase)
            save(training.state())
    return training.branches, training.curves


class _Training:
    """The branches and the progress of their training."""

    def __init__(
        self,
        train: Rows,
        validation: Rows,
        architecture: Architecture,
        flows: Flows,
        seeds: Sequence[int],
    ) -> None:
        self._train = train
        self._validation = validation
        self._architecture = architecture
        self._flows = flows
        self._seeds = seeds
        self._means: Tensor | None = None  # of the training rows, (members, n, targets)
        self.branches = [self._branch(seed) for seed in seeds]
        self.curves: list[dict[str, Curve]] = [{} for _ in seeds]
        self.done: list[str] = []

    def _branch(self, seed: int) -> Branch:
        with seeded(derive_seed(seed, "flows")):
            return Branch(self._architecture).to(self._train.inputs.device)

    def _derived(self, name: str) -> list[int]:
        return [derive_seed(seed, name) for seed in self._seeds]

    def state(self) -> State:
        """The state that `resume` restores."""
        return {
            "branches": [branch.state_dict() for branch in self.branches],
            "means": self._means,
            "curves": self.curves,
            "done": self.done,
        }

    def resume(self, state: State) -> None:
        for branch, weights in zip(self.branches, state["branches"], strict=True):
            branch.load_state_dict(weights)
            branch.requires_grad_(False)
            branch.eval()
        device = self._train.inputs.device
        self._means = None if state["means"] is None else state["means"].to(device)
        self.curves, self.done = state["curves"], state["done"]
        say(f"continues after the phase {self.done[-1]}, from the checkpoint")

    def run(self, phase: str) -> None:
        if phase == HEADS:
            self._fit_heads()
        elif phase == MEANS:
            self._fit_means()
        elif getattr(self.branches[0], phase) is not None:
            self._fit_flows(phase)
        self.done = [*self.done, phase]

    def _fit_heads(self) -> None:
        heads, curves = fit_heads(
            self._train, self._validation, self._architecture, self._flows, self._derived("heads")
        )
        for branch, fitted in zip(self.branches, heads, strict=True):
            branch.heads = fitted
        self._enter("heads", curves)

    def _fit_means(self) -> None:
        self._means, folds = training_means(
            [branch.heads for branch in self.branches],
            self._train,
            self._validation,
            self._architecture,
            self._flows,
            self._derived("residuals"),
        )
        for curves, own in zip(self.curves, folds, strict=True):
            curves |= own
        for branch, means in zip(self.branches, self._means, strict=True):
            branch.residual_scale.copy_(_scale(self._train.targets - means))

    def _fit_flows(self, phase: str) -> None:
        columns, condition = _columns(self._architecture, phase)
        losses = [_Loss(getattr(branch, phase)) for branch in self.branches]
        assert self._means is not None
        seen = self._residuals(self._train, columns, condition, self._means)
        fresh = self._residuals(self._validation, columns, condition)
        curves = fit(losses, seen, fresh, self._flows, self._derived(phase), f"flow of {phase}")
        for loss in losses:
            loss.requires_grad_(False)
        self._enter(phase, curves)

    def _residuals(
        self, rows: Rows, columns: list[int], condition: list[int], means: Tensor | None = None
    ) -> list[Tensor]:
        """Training data of a flow: residuals (members, n, d), encodings, and the true core.

        Only rows where all of `columns` are measured are used. Residuals are about `means`, or
        about the heads' means if that is None.
        """
        present = torch.nonzero(~torch.isnan(rows.targets[:, columns]).any(1)).squeeze(1)
        truth = rows.targets[present]
        predicted = [branch.predict(rows.inputs[present]) for branch in self.branches]
        if means is None:
            centre = torch.stack([each.mean for each in predicted])
        else:
            centre = means[:, present]
        scale = torch.stack([branch.residual_scale for branch in self.branches])[:, None]
        values = ((truth - centre) / scale)[..., columns]
        # chain rule: in training metallicity is conditioned on the true core (paper, section 2.3)
        core = [truth[None][..., condition]] if condition else []
        return [values, torch.stack([each.encoding for each in predicted]), *core]

    def _enter(self, phase: str, curves: list[Curve]) -> None:
        for own, curve in zip(self.curves, curves, strict=True):
            own[phase] = curve
        best = [min(validation for _, _, validation in curve) for curve in curves]
        epochs = max(map(len, curves))
        say(f"  {phase}: {epochs} epochs, validation loss {min(best):.3f} to {max(best):.3f}")


class _Loss(nn.Module):
    """A flow's loss on a batch: the mean negative log-density of its residuals, in nats."""

    def __init__(self, flow: ConditionalFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, values: Tensor, encoding: Tensor, core: Tensor | None = None) -> Tensor:
        return -self.flow.log_prob(values, encoding, core).mean()


def _scale(residuals: Tensor) -> Tensor:
    """Root mean square of each target's residuals, (targets,); 1 if a target has none."""
    present = ~torch.isnan(residuals)
    mean_square = torch.nan_to_num(residuals).square().sum(0) / present.sum(0).clamp(min=1)
    return torch.where(mean_square > 0, mean_square.sqrt(), torch.ones_like(mean_square))


def _columns(architecture: Architecture, phase: str) -> tuple[list[int], list[int]]:
    """Columns that the flow models, and those that it is conditioned on."""
    if phase == CORE or architecture.metallicity is None:
        return architecture.core, []
    return [architecture.metallicity], architecture.core
