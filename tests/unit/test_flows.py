"""The contract that every flow in the package is held to."""

import math

import pytest
import torch
from nflows.distributions.normal import StandardNormal

from mgsflow.config.models import Flows
from mgsflow.models.coupling import Context
from mgsflow.models.flows import ConditionalFlow, joint_flow, univariate_flow
from mgsflow.models.storage import load_tensors, save_tensors

CONTEXT = 3
AFFINE, SPLINE = Flows(coupling_hidden=32), Flows(coupling_hidden=32, coupling="spline")
# name: dimensions, values given by draw, builder
FLOWS = {
    "affine couplings, 4-D": (4, 0, lambda: joint_flow(4, CONTEXT, AFFINE)),
    "affine couplings, 3-D": (3, 0, lambda: joint_flow(3, CONTEXT, AFFINE)),
    "affine couplings, 2-D": (2, 0, lambda: joint_flow(2, CONTEXT, AFFINE)),
    "spline couplings, 4-D": (4, 0, lambda: joint_flow(4, CONTEXT, SPLINE)),
    "spline couplings, 2-D": (2, 0, lambda: joint_flow(2, CONTEXT, SPLINE)),
    "affine, 1-D": (1, 0, lambda: univariate_flow("affine", CONTEXT, 0, AFFINE)),
    "affine, 1-D, given 4": (1, 4, lambda: univariate_flow("affine", CONTEXT, 4, AFFINE)),
    "spline, 1-D": (1, 0, lambda: univariate_flow("spline", CONTEXT, 0, AFFINE)),
    "spline, 1-D, given 4": (1, 4, lambda: univariate_flow("spline", CONTEXT, 4, AFFINE)),
}
every_flow = pytest.mark.parametrize("name", FLOWS)


def build(name: str, spread: float = 0.15) -> tuple[ConditionalFlow, int, int]:
    """A flow with random weights, so that it is far from the identity it starts as."""
    dimensions, given, make = FLOWS[name]
    flow = make().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(0.0, spread)
    return flow, dimensions, given


def values(rows: int, given: int) -> torch.Tensor | None:
    return torch.randn(rows, given) if given else None


@every_flow
def test_inverse_undoes_forward(name):
    flow, dimensions, given = build(name)
    context, other = torch.randn(200, CONTEXT), values(200, given)
    noise = torch.randn(200, 1, dimensions)
    with torch.no_grad():
        draws, log_prob = flow.sample_and_log_prob(1, context, other, noise)
        again = flow.log_prob(draws[:, 0], context, other)
        back = flow._transform(draws[:, 0], Context(context, other))[0]
    assert (draws - noise).abs().max() > 0.1, "the flow is the identity: nothing is tested"
    torch.testing.assert_close(back, noise[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, log_prob[:, 0], atol=2e-5, rtol=1e-5)


@every_flow
def test_log_determinant_is_the_jacobians(name):
    flow, dimensions, given = build(name)
    flow = flow.double()
    context = torch.randn(1, CONTEXT, dtype=torch.float64)
    other = None if not given else torch.randn(1, given, dtype=torch.float64)
    for point in torch.randn(5, 1, dimensions, dtype=torch.float64):
        where = Context(context, other)
        jacobian = torch.autograd.functional.jacobian(
            lambda x, where=where: flow._transform(x, where)[0], point
        )
        expected = torch.linalg.slogdet(jacobian.reshape(dimensions, dimensions)).logabsdet
        torch.testing.assert_close(flow._transform(point, where)[1][0], expected)


@pytest.mark.parametrize("name", [name for name, (d, _, _) in FLOWS.items() if d <= 2])
def test_density_integrates_to_one(name):
    flow, dimensions, given = build(name, spread=0.1)
    step = 0.02 if dimensions == 1 else 0.05
    axis = torch.arange(-12, 12, step)
    grid = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
    context = torch.randn(1, CONTEXT)
    other = None if not given else torch.randn(1, given).expand(len(grid), -1)
    with torch.no_grad():
        density = flow.log_prob(grid, context, other).double().exp()
    assert density.sum() * step**dimensions == pytest.approx(1.0, abs=5e-3)


@every_flow
def test_gradients_are_finite_at_ten_sigma(name):
    flow, dimensions, given = build(name)
    far = (10.0 * torch.sign(torch.randn(64, dimensions))).requires_grad_()
    context = (10.0 * torch.randn(64, CONTEXT)).requires_grad_()
    flow.log_prob(far, context, values(64, given)).sum().backward()
    for tensor in (far, context, *flow.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
    assert any(parameter.grad.abs().sum() > 0 for parameter in flow.parameters())


@every_flow
def test_saved_and_loaded_flow_is_equal_to_the_bit(name, tmp_path):
    flow, dimensions, given = build(name)
    save_tensors(tmp_path / "flow.safetensors", flow.state_dict())
    other = FLOWS[name][2]().eval()
    other.load_state_dict(load_tensors(tmp_path / "flow.safetensors"))
    context, extra, noise = (
        torch.randn(20, CONTEXT),
        values(20, given),
        torch.randn(20, 1, dimensions),
    )
    with torch.no_grad():
        assert torch.equal(
            flow.sample(1, context, extra, noise), other.sample(1, context, extra, noise)
        )


@every_flow
def test_a_context_that_is_broadcast_draws_as_one_that_is_repeated(name):
    flow, dimensions, given = build(name)
    context, other = torch.randn(7, CONTEXT), values(7 * 11, given)
    noise = torch.randn(7, 11, dimensions)
    with torch.no_grad():
        broadcast = flow.sample(11, context, other, noise)
        repeated = flow.sample(
            1, context.repeat_interleave(11, 0), other, noise.reshape(77, 1, dimensions)
        )
    torch.testing.assert_close(broadcast.reshape(77, 1, dimensions), repeated)
    per_galaxy = [
        flow.sample(
            11, context[[i]], None if other is None else other[11 * i : 11 * i + 11], noise[[i]]
        )
        for i in range(7)
    ]
    torch.testing.assert_close(torch.cat(per_galaxy), broadcast)


@every_flow
def test_an_untrained_flow_is_a_unit_gaussian(name):
    dimensions, given, make = FLOWS[name]
    x = torch.randn(50, dimensions)
    with torch.no_grad():
        log_prob = make().log_prob(x, torch.randn(50, CONTEXT), values(50, given))
    torch.testing.assert_close(log_prob, StandardNormal([dimensions]).log_prob(x).float())


def train(flow, draw, steps, learning_rate=3e-3):
    """Fit to fresh draws of a known truth."""
    optimiser = torch.optim.Adam(flow.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, steps)
    for _ in range(steps):
        context, y, given = draw(512)
        loss = -flow.log_prob(y, context, given).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimiser.step()
        schedule.step()


def narrow(dimensions: int, given: int):
    """y = W c + 0.05 e: far narrower than its range, as residuals and redshifts are."""
    weights = torch.tensor([[1, 0.5, -0.3], [-0.2, 0.8, 0.4], [0.5, -0.5, 0.6], [0.3, 0.2, -0.9]])

    def draw(n):
        context, other = torch.randn(n, CONTEXT), values(n, given)
        y = context @ weights[:dimensions].T + 0.05 * torch.randn(n, dimensions)
        return context, y if other is None else y + 0.5 * other[:, :1], other

    return draw


# fewer couplings than the paper's in the 4-D cases, for the sake of time
SHARP = {
    "affine couplings, 4-D": (4, 0, lambda: joint_flow(4, CONTEXT, narrow_settings("affine")), 800),
    "spline couplings, 4-D": (4, 0, lambda: joint_flow(4, CONTEXT, narrow_settings("spline")), 900),
    "affine, 1-D": (*FLOWS["affine, 1-D"], 1500),
    "affine, 1-D, given 4": (*FLOWS["affine, 1-D, given 4"], 2000),
    "spline, 1-D": (*FLOWS["spline, 1-D"], 800),
    "spline, 1-D, given 4": (*FLOWS["spline, 1-D, given 4"], 1200),
}


def narrow_settings(coupling: str) -> Flows:
    return Flows(coupling=coupling, couplings=6, coupling_hidden=64, spline_bins=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARP)
def test_a_narrow_gaussian_is_fitted_within_a_tenth_of_a_nat(name):
    dimensions, given, make, steps = SHARP[name]
    flow, draw = make(), narrow(dimensions, given)
    train(flow, draw, steps)
    context, y, other = draw(20_000)
    with torch.no_grad():
        reached = flow.log_prob(y, context, other).mean().item()
    truth = dimensions * (-math.log(0.05) - 0.5 * math.log(2 * math.pi) - 0.5)
    assert truth - 0.1 < reached < truth + 0.1


def two_peaks(dimensions: int):
    """Peaks at +-1 in every dimension at once, width 0.3."""

    def draw(n):
        side = torch.sign(torch.randn(n, 1))
        return torch.randn(n, CONTEXT), side + 0.3 * torch.randn(n, dimensions), None

    return draw


PEAKED = ["affine couplings, 4-D", "affine couplings, 2-D", "spline couplings, 2-D", "spline, 1-D"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PEAKED)
def test_two_peaks_are_found(name):
    dimensions, _, make = FLOWS[name]
    flow, draw = make(), two_peaks(dimensions)
    train(flow, draw, 250, learning_rate=5e-3)
    context = torch.zeros(1, CONTEXT)
    points = torch.stack([torch.full((dimensions,), at) for at in (-1.0, 0.0, 1.0)])
    with torch.no_grad():
        left, middle, right = flow.log_prob(points, context).tolist()
        draws = flow.sample(4000, context)[0, :, 0]
    assert min(left, right) - middle > math.log(4)
    assert (draws > 0).float().mean() == pytest.approx(0.5, abs=0.06)


def test_the_one_dimensional_affine_flow_is_gaussian_whatever_its_weights():
    flow, _, _ = build("affine, 1-D")
    x = torch.linspace(-3, 3, 101)[:, None]
    with torch.no_grad():
        log_prob = flow.log_prob(x, torch.randn(1, CONTEXT))
    curvature = log_prob.diff().diff()
    torch.testing.assert_close(curvature, curvature.mean().expand(99), rtol=2e-2, atol=1e-5)
