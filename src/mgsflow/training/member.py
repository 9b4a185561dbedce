"""One member of the ensemble: heads first, then frozen, then the flows on their residuals."""

from __future__ import annotations

import torch
from torch import Tensor

from mgsflow.config.models import Flows
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.encoder import Prediction
from mgsflow.models.flows import ConditionalFlow
from mgsflow.training.fitting import Curve, fit, seeded
from mgsflow.training.heads import Rows, fit_heads
from mgsflow.training.residuals import training_means


def fit_member(
    train: Rows, validation: Rows, architecture: Architecture, flows: Flows, seed: int
) -> tuple[Branch, dict[str, Curve]]:
    """A fitted branch and the curve of each phase of its training.

    Members differ by `seed` alone: initial weights, order of the rows, dropout, folds.
    """
    curves: dict[str, Curve] = {}
    with seeded(derive_seed(seed, "flows")):
        branch = Branch(architecture).to(train.inputs.device)
    branch.heads, curves["heads"] = fit_heads(
        train, validation, architecture, flows, derive_seed(seed, "heads")
    )
    means, folds = training_means(
        branch.heads, train, validation, architecture, flows, derive_seed(seed, "residuals")
    )
    curves |= folds
    seen = _Residuals(branch.predict(train.inputs)._replace(mean=means), train.targets)
    fresh = _Residuals(branch.predict(validation.inputs), validation.targets)
    branch.residual_scale.copy_(seen.scale())
    for phase in ("core", "metallicity"):
        flow = getattr(branch, phase)
        if flow is not None:
            curves[phase] = _fit_flow(branch, flow, phase, seen, fresh, flows, seed)
    return branch, curves


class _Residuals:
    """What a flow is fitted on: encodings, standardised truth, and its distance to the means."""

    def __init__(self, prediction: Prediction, truth: Tensor) -> None:
        self.encoding = prediction.encoding
        self.truth = truth
        self.residual = truth - prediction.mean

    def scale(self) -> Tensor:
        """Root mean square of each target's residuals, (targets,), for want of any: 1."""
        present = ~torch.isnan(self.residual)
        mean_square = torch.nan_to_num(self.residual).square().sum(0) / present.sum(0).clamp(min=1)
        return torch.where(mean_square > 0, mean_square.sqrt(), torch.ones_like(mean_square))


def _fit_flow(
    branch: Branch,
    flow: ConditionalFlow,
    phase: str,
    seen: _Residuals,
    fresh: _Residuals,
    flows: Flows,
    seed: int,
) -> Curve:
    columns, given = _columns(branch.architecture, phase)

    def loss(part: _Residuals, rows: Tensor) -> Tensor:
        values = part.residual[rows][:, columns] / branch.residual_scale[columns]
        # the chain rule: in training metallicity is given the true core (paper, section 2.3)
        core = part.truth[rows][:, given] if given else None
        return -flow.log_prob(values, part.encoding[rows], core).mean()

    held = _present(fresh, columns)
    with seeded(derive_seed(seed, phase)):
        curve = fit(
            flow,
            lambda rows: loss(seen, rows),
            lambda: loss(fresh, held),
            _present(seen, columns),
            flows,
        )
    best = min(validation for _, _, validation in curve)
    say(f"  flow of {phase}: {len(curve)} epochs, best validation loss {best:.3f} nats")
    flow.requires_grad_(False)
    return curve


def _columns(architecture: Architecture, phase: str) -> tuple[list[int], list[int]]:
    """Columns that the flow models, and those it is given."""
    if phase == "core" or architecture.metallicity is None:
        return architecture.core, []
    return [architecture.metallicity], architecture.core


def _present(part: _Residuals, columns: list[int]) -> Tensor:
    """The rows where all of `columns` are measured."""
    return torch.nonzero(~torch.isnan(part.residual[:, columns]).any(1)).squeeze(1)
