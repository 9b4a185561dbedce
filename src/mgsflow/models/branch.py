"""One branch of the paper's Figure 1: heads, the joint flow of the core, the flow of metallicity.

The property branch has both flows and the chain rule p(core, O/H | x) = p(core | x) p(O/H | core,
x). In the line branch the core are the lines, and there is no metallicity. A branch is one member
of an ensemble. All targets in this module are standardised.

Population of the metallicity: the flow of the core is trained on all galaxies, that of metallicity
on the galaxies with a measured one. Draws of metallicity therefore average over p(core | x). For a
galaxy that is known to have a measurable O/H they should follow p(core, O/H | x, measurable), with
a core more like that of star-forming galaxies. With photometry the difference is small: compared
with the simulated sky's exact posteriors, which are conditional on a measurable O/H
(evaluation/oracle), the ratio of the widths of O/H is 1.00 and the difference of its log-density
0.00 nats. It is therefore not corrected.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.quantities import METALLICITY
from mgsflow.models.encoder import Heads, Prediction
from mgsflow.models.flows import ConditionalFlow, joint_flow, univariate_flow

# The settings that determine the architecture of a branch; they are stored with the model.
SHAPE_SETTINGS = (
    "encoding",
    "encoder_hidden",
    "head_hidden",
    "dropout",
    "couplings",
    "coupling",
    "coupling_hidden",
    "log_scale_bound",
    "metallicity_flow",
    "single_flow",
    "spline_bins",
)


@dataclass(frozen=True)
class Architecture:
    """The specification of a branch: number of inputs, targets, detectability, settings."""

    inputs: int
    targets: list[str]
    detects: bool
    settings: dict[str, Any]

    @classmethod
    def of(cls, inputs: int, targets: list[str], detects: bool, flows: Flows) -> Architecture:
        settings = {name: getattr(flows, name) for name in SHAPE_SETTINGS}
        return cls(inputs, targets, detects, settings)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def core(self) -> list[int]:
        """Columns of the targets that the joint flow models."""
        return [i for i, name in enumerate(self.targets) if name != METALLICITY]

    @property
    def metallicity(self) -> int | None:
        """Column of metallicity, if it is among the targets."""
        return self.targets.index(METALLICITY) if METALLICITY in self.targets else None


class Branch(nn.Module):
    """One member: heads and flows. `core` or `metallicity` is None if it is not modelled."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        flows = Flows(**architecture.settings)
        self.architecture = architecture
        self.heads = Heads(
            architecture.inputs, len(architecture.targets), architecture.detects, flows
        )
        self.core = _core_flow(len(architecture.core), flows)
        self.metallicity = None
        if architecture.metallicity is not None:
            self.metallicity = univariate_flow(
                flows.metallicity_flow, flows.encoding, len(architecture.core), flows
            )
        # Residuals are scaled to unit variance for the flows, which start as a unit Gaussian:
        # those of redshift are far narrower than those of the star formation rate.
        self.register_buffer("residual_scale", torch.ones(len(architecture.targets)))

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers that one draw needs."""
        return len(self.architecture.targets)

    def predict(self, inputs: Tensor) -> Prediction:
        """The heads' predictions for standardised inputs, (n, inputs)."""
        return self.heads(inputs)

    def sample(self, prediction: Prediction, noise: Tensor) -> Tensor:
        """Joint draws from `noise`, both of shape (n, draws, targets).

        A draw is the mean plus a sampled residual. Metallicity is conditioned on the core values of
        the same draw.
        """
        n, draws, _ = noise.shape
        mean, scale = prediction.mean.unsqueeze(1), self.residual_scale
        out = torch.empty_like(noise)
        core, column = self.architecture.core, self.architecture.metallicity
        if self.core is not None:
            residual = self.core.sample(draws, prediction.encoding, noise=noise[..., : len(core)])
            out[..., core] = mean[..., core] + scale[core] * residual
        if self.metallicity is not None and column is not None:
            condition = out[..., core].reshape(n * draws, len(core)) if core else None
            residual = self.metallicity.sample(
                draws, prediction.encoding, condition, noise[..., len(core) :]
            )
            out[..., column] = mean[..., column] + scale[column] * residual[..., 0]
        return out

    def log_prob(self, prediction: Prediction, truth: Tensor) -> Tensor:
        """Log-density of `truth`, (n, targets), shape (n,).

        Where metallicity is NaN it is omitted, which by the chain rule gives the marginal density
        of the other targets.
        """
        total = torch.zeros(len(truth), device=truth.device)
        residual = (truth - prediction.mean) / self.residual_scale
        core, column = self.architecture.core, self.architecture.metallicity
        if self.core is not None:
            total = total + self.core.log_prob(residual[:, core], prediction.encoding)
            total = total - self.residual_scale[core].log().sum()
        if self.metallicity is not None and column is not None:
            rows = ~torch.isnan(truth[:, column])
            if not rows.any():
                return total
            condition = truth[rows][:, core] if core else None
            density = self.metallicity.log_prob(
                residual[rows][:, [column]], prediction.encoding[rows], condition
            )
            total[rows] = total[rows] + density - self.residual_scale[column].log()
        return total


def _core_flow(dimensions: int, flows: Flows) -> ConditionalFlow | None:
    if dimensions == 0:
        return None
    if dimensions == 1:
        return univariate_flow(flows.single_flow, flows.encoding, 0, flows)
    return joint_flow(dimensions, flows.encoding, flows)
