"""The affine coupling can sharpen as much as it can widen, which nflows' own cannot."""

import math

import pytest
import torch
from nflows.transforms.coupling import AffineCouplingTransform
from nflows.transforms.splines import unconstrained_rational_quadratic_spline

from mgsflow.config.models import Flows
from mgsflow.models.coupling import AffineCoupling, Conditioner, Context
from mgsflow.models.flows import joint_flow
from mgsflow.models.spline import SPLINE_TAIL, spline, spline_parameters


def saturated(sign: float, bound: float = 2.0) -> torch.Tensor:
    """The log-determinant of a coupling whose log-scale is driven to its bound."""
    coupling = AffineCoupling([1, 0], 3, 8, bound)
    with torch.no_grad():
        coupling.transform_net.body[-1].bias[1] = sign * 1e6
        return coupling(torch.randn(5, 2), Context(torch.randn(5, 3)))[1]


def test_the_log_scale_is_bounded_symmetrically():
    torch.testing.assert_close(saturated(+1.0), torch.full((5,), 2.0))
    torch.testing.assert_close(saturated(-1.0), torch.full((5,), -2.0))


def test_nflows_own_coupling_cannot_sharpen():
    class Constant(torch.nn.Module):
        def forward(self, inputs, context=None):
            return torch.full((len(inputs), 2), 1e6)

    stock = AffineCouplingTransform([1, 0], lambda inputs, outputs: Constant())
    _, logabsdet = stock(torch.randn(5, 2))
    assert (logabsdet < 0.01).all(), "if this fails, nflows has changed: read models/coupling.py"


def test_conditioner_is_the_mlp_on_the_joined_inputs():
    """W_x x + W_c c is the first layer of an ordinary MLP on (x, c)."""
    conditioner = Conditioner(2, 3, 8, 4)
    torch.nn.init.normal_(conditioner.body[-1].weight)
    x, c = torch.randn(6, 2), torch.randn(6, 3)
    weights = torch.cat([conditioner.inputs.weight, conditioner.context.weight], dim=1)
    hidden = torch.cat([x, c], dim=1) @ weights.T + conditioner.context.bias
    torch.testing.assert_close(conditioner(x, c), conditioner.body(hidden))


def test_context_is_projected_once_a_galaxy():
    conditioner = Conditioner(2, 3, 8, 4)
    seen = []
    conditioner.context.register_forward_hook(lambda m, args, out: seen.append(len(args[0])))
    assert conditioner(torch.randn(50, 2), torch.randn(5, 3)).shape == (50, 4)
    assert seen == [5]


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_every_variable_conditions_and_follows_every_other(dimensions):
    """After twelve couplings each output depends on each input."""
    flow = joint_flow(dimensions, 3, Flows(coupling_hidden=16)).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(0, 0.3)
    context = Context(torch.randn(1, 3, dtype=torch.float64))
    point = torch.randn(1, dimensions, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow._transform(x, context)[0], point)
    assert (jacobian.abs() > 1e-9).all()
    transformed = [layer.transform_features.tolist() for layer in flow._transform._transforms]
    assert all(
        set(a) & set(b) == set() for a, b in zip(transformed[::2], transformed[1::2], strict=True)
    )


def test_spline_with_zero_parameters_is_the_identity():
    x = torch.linspace(-2 * SPLINE_TAIL, 2 * SPLINE_TAIL, 101)
    for inverse in (False, True):
        y, logabsdet = spline(x, torch.zeros(101, 3 * 8 - 1), inverse)
        torch.testing.assert_close(y, x)
        torch.testing.assert_close(logabsdet, torch.zeros(101))


def test_spline_is_monotone_and_meets_its_tails():
    x = torch.linspace(-SPLINE_TAIL - 1, SPLINE_TAIL + 1, 2001)
    params = (2 * torch.randn(1, 3 * 8 - 1)).expand(2001, -1)
    y, logabsdet = spline(x, params, inverse=False)
    assert (y.diff() > 0).all()
    assert (y[x.abs() >= SPLINE_TAIL] == x[x.abs() >= SPLINE_TAIL]).all()
    slope = (y.diff() / x.diff()).log()
    middle = (logabsdet[1:] + logabsdet[:-1]) / 2
    assert (slope - middle).abs().median() < 0.01
    assert math.isclose(y.diff().abs().sum().item(), (x[-1] - x[0]).item(), rel_tol=1e-5)


@pytest.mark.parametrize("inverse", [False, True])
def test_spline_is_that_of_nflows(inverse):
    bins, rows = 8, 500
    x = torch.linspace(-SPLINE_TAIL - 1, SPLINE_TAIL + 1, rows, dtype=torch.float64)
    params = 2 * torch.randn(rows, spline_parameters(bins), dtype=torch.float64)
    ours = spline(x, params, inverse)
    unit = math.log(math.expm1(1 - 1e-3))  # nflows' raw derivative for a slope of 1
    theirs = unconstrained_rational_quadratic_spline(
        x,
        params[:, :bins],
        params[:, bins : 2 * bins],
        params[:, 2 * bins :] + unit,
        inverse=inverse,
        tail_bound=SPLINE_TAIL,
    )
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-8, atol=1e-8)


def test_spline_has_no_nan_in_its_gradients_beyond_the_tails():
    x = torch.tensor([-1e4, -SPLINE_TAIL, 0.0, SPLINE_TAIL, 1e4], requires_grad=True)
    params = torch.randn(5, spline_parameters(8), requires_grad=True)
    y, logabsdet = spline(x, params, inverse=False)
    (y.sum() + logabsdet.sum()).backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(params.grad).all()
