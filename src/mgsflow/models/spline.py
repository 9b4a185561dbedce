"""Monotone rational-quadratic splines (Durkan et al. 2019, Neural Spline Flows).

The function is the same as nflows' `rational_quadratic_spline`; tests compare the two. nflows' one
inspects the values to reject those outside its domain, which makes a GPU wait and is impossible in
a CUDA graph and in torch.vmap. Here arithmetic leaves values outside the domain unchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Beyond this, in units of the affinely normalised variable, a spline is the identity.
SPLINE_TAIL = 5.0
# Minimum width and height of a bin, as fractions of the domain; minimum derivative at a knot.
MIN_SHARE = 1e-3
MIN_DERIVATIVE = 1e-3
# A raw derivative of zero means a derivative of 1, so that zero parameters give the identity.
_UNIT_DERIVATIVE = float(np.log(np.expm1(1 - MIN_DERIVATIVE)))


class _Bin(NamedTuple):
    """The bin of each value: its lower left corner, its size, its slope, the knots' derivatives."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    left: Tensor
    right: Tensor


def spline_parameters(bins: int) -> int:
    """Number of parameters of a variable's spline: widths, heights, inner derivatives."""
    return 3 * bins - 1


def spline(inputs: Tensor, params: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Values and log-derivatives of splines that are the identity beyond +-SPLINE_TAIL.

    `inputs` (...), `params` (..., spline_parameters). Computed in float64: the quadratic equation
    of the inverse loses half of float32's digits, and twelve couplings would not invert to 1e-5.
    """
    bins = (params.shape[-1] + 1) // 3
    values, wide = inputs.double(), params.double()
    inside = values.abs() < SPLINE_TAIL
    values = torch.where(inside, values, 0.0)
    x, y = _knots(wide[..., :bins]), _knots(wide[..., bins : 2 * bins])
    raw = functional.pad(wide[..., 2 * bins :], (1, 1)) + _UNIT_DERIVATIVE
    derivatives = MIN_DERIVATIVE + functional.softplus(raw)
    at = _bin(values, x, y, derivatives, y if inverse else x)
    bent, logabsdet = (_invert if inverse else _evaluate)(values, at)
    outputs = torch.where(inside, bent, inputs.double()).to(inputs.dtype)
    return outputs, torch.where(inside, logabsdet, 0.0).to(inputs.dtype)


def _knots(raw: Tensor) -> Tensor:
    """Positions of the knots, (..., bins + 1), from -SPLINE_TAIL to SPLINE_TAIL."""
    share = MIN_SHARE + (1 - MIN_SHARE * raw.shape[-1]) * functional.softmax(raw, dim=-1)
    inner = functional.pad(torch.cumsum(share[..., :-1], dim=-1), (1, 0))
    return functional.pad(SPLINE_TAIL * (2 * inner - 1), (0, 1), value=SPLINE_TAIL)


def _bin(values: Tensor, x: Tensor, y: Tensor, derivatives: Tensor, ends: Tensor) -> _Bin:
    """The bin of each value, from the knots `ends` of its own axis."""
    index = (values.unsqueeze(-1) >= ends[..., 1:-1]).sum(-1, keepdim=True)

    def at(table: Tensor, shift: int = 0) -> Tensor:
        return table.gather(-1, index + shift).squeeze(-1)

    width, height = at(x, 1) - at(x), at(y, 1) - at(y)
    return _Bin(at(x), at(y), width, height, height / width, at(derivatives), at(derivatives, 1))


def _evaluate(values: Tensor, at: _Bin) -> tuple[Tensor, Tensor]:
    """Durkan et al. 2019, equations 4 and 5."""
    theta = (values - at.x) / at.width
    rest = theta * (1 - theta)
    denominator = at.slope + (at.left + at.right - 2 * at.slope) * rest
    outputs = at.y + at.height * (at.slope * theta.square() + at.left * rest) / denominator
    return outputs, _log_derivative(theta, at)


def _invert(values: Tensor, at: _Bin) -> tuple[Tensor, Tensor]:
    """The root in [0, 1] of the quadratic equation (6-8), and minus the log-derivative there."""
    above = values - at.y
    bend = at.left + at.right - 2 * at.slope
    a = above * bend + at.height * (at.slope - at.left)
    b = at.height * at.left - above * bend
    c = -at.slope * above
    # rounding can make a discriminant of zero negative
    theta = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
    return theta * at.width + at.x, -_log_derivative(theta, at)


def _log_derivative(theta: Tensor, at: _Bin) -> Tensor:
    rest = theta * (1 - theta)
    denominator = at.slope + (at.left + at.right - 2 * at.slope) * rest
    numerator = at.slope.square() * (
        at.right * theta.square() + 2 * at.slope * rest + at.left * (1 - theta).square()
    )
    return numerator.log() - 2 * denominator.log()
