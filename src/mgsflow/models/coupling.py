"""Coupling layers on nflows' base class: affine (RealNVP) and rational-quadratic spline.

nflows' own affine coupling scales by sigmoid(u + 2), at most 1 from data to noise: it can only
widen, and residuals of standardised targets are narrow. Ours has a symmetric bounded log-scale.

A conditioner's first layer is split into W_x x + W_c c. The context c belongs to a galaxy, x to a
draw: W_c c is computed once a galaxy and broadcast over its draws, which nflows repeats instead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from nflows.transforms.coupling import CouplingTransform
from nflows.transforms.splines import rational_quadratic_spline
from torch import Tensor, nn
from torch.nn import functional

# Beyond it, in units of the affinely normalised variable, a spline is the identity.
SPLINE_TAIL = 5.0
MIN_DERIVATIVE = 1e-3
# nflows' splines take this for a derivative of 1: zero parameters are then the identity.
_UNIT_DERIVATIVE = float(np.log(np.expm1(1 - MIN_DERIVATIVE)))


class Context(NamedTuple):
    """What a flow is conditioned on. Rows of a galaxy's draws follow each other."""

    galaxy: Tensor  # (n, context): the same for all draws of a galaxy
    given: Tensor | None = None  # (n * draws, given): values that change from draw to draw


class Conditioner(nn.Module):
    """A small MLP from (inputs of a draw, context of a galaxy) to a transform's parameters.

    The last layer starts at zero, with which every transform of this package is the identity.
    """

    def __init__(self, inputs: int, context: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.context = nn.Linear(context, hidden)
        self.inputs = nn.Linear(inputs, hidden, bias=False) if inputs else None
        last = nn.Linear(hidden, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(
            nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True), last
        )

    def forward(self, inputs: Tensor | None, context: Tensor) -> Tensor:
        """(n * draws, inputs) and (n, context) to (n * draws, outputs).

        Without inputs the draws of a galaxy share their parameters: (n, outputs).
        """
        hidden = self.context(context)
        if self.inputs is None:
            return self.body(hidden)
        n, width = hidden.shape
        rows = self.inputs(inputs).view(n, -1, width) + hidden.unsqueeze(1)
        return self.body(rows.view(-1, width))


class AffineCoupling(CouplingTransform):
    """y = x exp(s) + t, with s = bound tanh(u / bound) (Dinh et al. 2017, with a bounded scale).

    Parameters
    ----------
    mask : 1 where a dimension is transformed, 0 where it conditions
    context, hidden : widths of context and conditioner
    bound : largest absolute log-scale
    """

    def __init__(self, mask: list[int], context: int, hidden: int, bound: float) -> None:
        self.bound = bound
        super().__init__(mask, lambda given, out: Conditioner(given, context, hidden, out))

    def forward(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Data to noise: outputs and log |det Jacobian|, shapes (rows, d) and (rows,)."""
        return super().forward(inputs, context.galaxy)

    def inverse(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Noise to data."""
        return super().inverse(inputs, context.galaxy)

    def _transform_dim_multiplier(self) -> int:
        return 2

    def _coupling_transform_forward(
        self, inputs: Tensor, transform_params: Tensor
    ) -> tuple[Tensor, Tensor]:
        shift, log_scale = split_affine(transform_params, inputs.shape[1], self.bound)
        return inputs * log_scale.exp() + shift, log_scale.sum(-1)

    def _coupling_transform_inverse(
        self, inputs: Tensor, transform_params: Tensor
    ) -> tuple[Tensor, Tensor]:
        shift, log_scale = split_affine(transform_params, inputs.shape[1], self.bound)
        return (inputs - shift) * (-log_scale).exp(), -log_scale.sum(-1)


class SplineCoupling(AffineCoupling):
    """The affine coupling followed by a monotone rational-quadratic spline (Durkan et al. 2019).

    The affine part brings the variable into the spline's domain, so that the pair can be as
    narrow, as wide and as shifted as the affine coupling alone.
    """

    def __init__(self, mask: list[int], context: int, hidden: int, bound: float, bins: int) -> None:
        self.bins = bins
        super().__init__(mask, context, hidden, bound)

    def _transform_dim_multiplier(self) -> int:
        return 2 + spline_parameters(self.bins)

    def _coupling_transform_forward(
        self, inputs: Tensor, transform_params: Tensor
    ) -> tuple[Tensor, Tensor]:
        affine, shape = self._split(inputs, transform_params)
        outputs, logabsdet = super()._coupling_transform_forward(inputs, affine)
        outputs, bend = spline(outputs, shape, inverse=False)
        return outputs, logabsdet + bend.sum(-1)

    def _coupling_transform_inverse(
        self, inputs: Tensor, transform_params: Tensor
    ) -> tuple[Tensor, Tensor]:
        affine, shape = self._split(inputs, transform_params)
        outputs, bend = spline(inputs, shape, inverse=True)
        outputs, logabsdet = super()._coupling_transform_inverse(outputs, affine)
        return outputs, logabsdet + bend.sum(-1)

    def _split(self, inputs: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        d = inputs.shape[1]
        return params[:, : 2 * d], params[:, 2 * d :].view(-1, d, spline_parameters(self.bins))


def split_affine(params: Tensor, d: int, bound: float) -> tuple[Tensor, Tensor]:
    """Shift and bounded log-scale, each (rows, d), of parameters of shape (rows, 2 d)."""
    return params[:, :d], bound * torch.tanh(params[:, d:] / bound)


def spline_parameters(bins: int) -> int:
    """Parameters of one variable's spline: widths, heights, derivatives at the inner knots."""
    return 3 * bins - 1


def spline(inputs: Tensor, params: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """nflows' monotone rational-quadratic spline, the identity beyond +-SPLINE_TAIL.

    `inputs` (...), `params` (..., spline_parameters). In float64 inside: its quadratic equation
    loses half of float32's digits, and twelve couplings would not invert to 1e-5.
    """
    bins = (params.shape[-1] + 1) // 3
    values, wide = inputs.double(), params.double()
    inside = values.abs() < SPLINE_TAIL
    # the library's own tails pick the rows inside by their indices, which a GPU waits for, and
    # which takes a third longer
    bent, logabsdet = rational_quadratic_spline(
        torch.where(inside, values, 0.0),
        unnormalized_widths=wide[..., :bins],
        unnormalized_heights=wide[..., bins : 2 * bins],
        unnormalized_derivatives=functional.pad(wide[..., 2 * bins :], (1, 1)) + _UNIT_DERIVATIVE,
        inverse=inverse,
        left=-SPLINE_TAIL,
        right=SPLINE_TAIL,
        bottom=-SPLINE_TAIL,
        top=SPLINE_TAIL,
        min_derivative=MIN_DERIVATIVE,
    )
    outputs = torch.where(inside, bent, values).to(inputs.dtype)
    return outputs, torch.where(inside, logabsdet, 0.0).to(inputs.dtype)
