"""One-dimensional conditional transforms: affine (the paper's, for metallicity) and spline.

The affine one is exactly Gaussian given its context; a skewed or two-peaked posterior needs the
spline.
"""

from __future__ import annotations

from nflows.transforms.base import Transform
from torch import Tensor

from mgsflow.models.coupling import Conditioner, Context, split_affine
from mgsflow.models.spline import spline, spline_parameters

# One layer stands here for the twelve of a joint flow, so it may scale more than one of those.
LOG_SCALE_FACTOR = 3.0


class UnivariateAffine(Transform):
    """y = x exp(s) + t, where s and t are functions of the context and of the given values.

    Parameters
    ----------
    context : width of the galaxy's context
    given : values that change from draw to draw (metallicity: the core properties); may be 0
    hidden : width of the conditioner
    bound : largest absolute log-scale of a coupling; LOG_SCALE_FACTOR times it holds here
    """

    def __init__(self, context: int, given: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = LOG_SCALE_FACTOR * bound
        self.conditioner = Conditioner(given, context, hidden, self._parameter_count())

    def forward(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Data to noise: outputs and log |det Jacobian|, shapes (rows, 1) and (rows,)."""
        return self._to_noise(inputs, self._conditions(inputs, context))

    def inverse(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Noise to data."""
        return self._to_data(inputs, self._conditions(inputs, context))

    def _parameter_count(self) -> int:
        return 2

    def _conditions(self, inputs: Tensor, context: Context) -> Tensor:
        params = self.conditioner(context.given, context.galaxy)
        draws = len(inputs) // max(len(params), 1)
        return params if draws == 1 else params.repeat_interleave(draws, dim=0)

    def _to_noise(self, inputs: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = split_affine(params, 1, self.bound)
        return inputs * log_scale.exp() + shift, log_scale[:, 0]

    def _to_data(self, inputs: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = split_affine(params, 1, self.bound)
        return (inputs - shift) * (-log_scale).exp(), -log_scale[:, 0]


class UnivariateSpline(UnivariateAffine):
    """The affine transform followed by a monotone rational-quadratic spline."""

    def __init__(self, context: int, given: int, hidden: int, bound: float, bins: int) -> None:
        self._bins = bins
        super().__init__(context, given, hidden, bound)

    def _parameter_count(self) -> int:
        return 2 + spline_parameters(self._bins)

    def _to_noise(self, inputs: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        outputs, logabsdet = super()._to_noise(inputs, params[:, :2])
        outputs, bend = spline(outputs, params[:, None, 2:], inverse=False)
        return outputs, logabsdet + bend[:, 0]

    def _to_data(self, inputs: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        outputs, bend = spline(inputs, params[:, None, 2:], inverse=True)
        outputs, logabsdet = super()._to_data(outputs, params[:, :2])
        return outputs, logabsdet + bend[:, 0]
