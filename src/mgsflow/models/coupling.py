"""Coupling layers on nflows' base class: affine (RealNVP) and rational-quadratic spline.

nflows' own affine coupling scales by sigmoid(u + 2), at most 1 from data to noise: it can only
widen, but the residuals of standardised targets are narrow. Ours has a symmetric bounded log-scale.

A conditioner's first layer is split into W_x x + W_c c. The context c belongs to a galaxy, x to a
draw: W_c c is computed once per galaxy and broadcast over its draws, whereas nflows repeats the
context for each draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from nflows.transforms.coupling import CouplingTransform
from torch import Tensor, nn
from torch.nn import functional

from mgsflow.models.spline import spline, spline_parameters

# From the transformed variables and their parameters to outputs and log-determinant.
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Context(NamedTuple):
    """The conditions of a flow. The rows of a galaxy's draws are consecutive."""

    galaxy: Tensor  # (n, context): the same for all draws of a galaxy
    condition: Tensor | None = None  # (n * draws, conditions): values that differ between draws


class Relu(nn.Module):
    """ReLU, in place if no gradient is needed; with a gradient that would cost two copies."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu(inputs, inplace=not torch.is_grad_enabled())


class Conditioner(nn.Module):
    """A small MLP from (inputs of a draw, context of a galaxy) to a transform's parameters.

    The last layer is initialised to zero, for which every transform of this package is the
    identity.
    """

    def __init__(self, inputs: int, context: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.context = nn.Linear(context, hidden)
        self.inputs = nn.Linear(inputs, hidden, bias=False) if inputs else None
        last = nn.Linear(hidden, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(Relu(), nn.Linear(hidden, hidden), Relu(), last)

    def forward(self, inputs: Tensor | None, context: Tensor) -> Tensor:
        """From (n * draws, inputs) and (n, context) to (n * draws, outputs).

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
    bound : maximum absolute log-scale
    """

    def __init__(self, mask: list[int], context: int, hidden: int, bound: float) -> None:
        self.bound = bound
        super().__init__(mask, lambda inputs, out: Conditioner(inputs, context, hidden, out))
        self._fixed = [i for i, moved in enumerate(mask) if not moved]
        self._moved = [i for i, moved in enumerate(mask) if moved]

    def forward(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Data to noise: outputs and log |det Jacobian|, shapes (rows, d) and (rows,)."""
        return self._couple(inputs, context, self._coupling_transform_forward)

    def inverse(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Noise to data."""
        return self._couple(inputs, context, self._coupling_transform_inverse)

    def _couple(
        self, inputs: Tensor, context: Context, transform: Transform
    ) -> tuple[Tensor, Tensor]:
        """nflows' coupling, by columns: the gradient of its indexing sorts indices on a GPU."""
        columns = list(inputs.split(1, dim=1))
        fixed, moved = (
            torch.cat([columns[i] for i in part], dim=1) for part in (self._fixed, self._moved)
        )
        moved, logabsdet = transform(moved, self.transform_net(fixed, context.galaxy))
        for i, column in zip(self._moved, moved.split(1, dim=1), strict=True):
            columns[i] = column
        return torch.cat(columns, dim=1), logabsdet

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

    The affine part maps the variable into the spline's domain, so that the combination can be as
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
        affine, shape = params.split([2 * d, params.shape[1] - 2 * d], dim=1)
        return affine, shape.reshape(-1, d, spline_parameters(self.bins))


def split_affine(params: Tensor, d: int, bound: float) -> tuple[Tensor, Tensor]:
    """Shift and bounded log-scale, each (rows, d), from parameters of shape (rows, 2 d)."""
    shift, raw = params.split([d, params.shape[1] - d], dim=1)
    return shift, bound * torch.tanh(raw / bound)
