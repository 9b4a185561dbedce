"""One-dimensional conditional transforms: affine (the paper's, for metallicity) and spline.

The density of the affine transform is exactly Gaussian given its context; a skewed or bimodal
posterior needs the spline.
"""

from __future__ import annotations

from nflows.transforms.base import Transform
from torch import Tensor

from mgsflow.models.coupling import Conditioner, Context, split_affine
from mgsflow.models.spline import spline, spline_parameters

# One layer replaces the twelve of a joint flow, so its scale may exceed that of one of them.
LOG_SCALE_FACTOR = 3.0


class UnivariateAffine(Transform):
    """y = x exp(s) + t, where s and t are functions of the context and of the conditions.

    Parameters
    ----------
    context : width of the galaxy's context
    conditions : number of values that differ between draws (metallicity: the core properties);
        may be 0
    hidden : width of the conditioner
    bound : maximum absolute log-scale of a coupling; here the maximum is LOG_SCALE_FACTOR times it
    """

    def __init__(self, context: int, conditions: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = LOG_SCALE_FACTOR * bound
        self.conditioner = Conditioner(conditions, context, hidden, self._parameter_count())

    def forward(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Data to noise: outputs and log |det Jacobian|, shapes (rows, 1) and (rows,)."""
        return self._to_noise(inputs, self._conditions(inputs, context))

    def inverse(self, inputs: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Noise to data."""
        return self._to_data(inputs, self._conditions(inputs, context))

    def _parameter_count(self) -> int:
        return 2

    def _conditions(self, inputs: Tensor, context: Context) -> Tensor:
        params = self.conditioner(context.condition, context.galaxy)
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

    def __init__(self, context: int, conditions: int, hidden: int, bound: float, bins: int) -> None:
        self._bins = bins
        super().__init__(context, conditions, hidden, bound)

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
