"""The contract that every flow in the package, and a whole branch, is held to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from nflows.distributions.normal import StandardNormal
from torch import Tensor, nn

from mgsflow.config.models import Flows
from mgsflow.core.quantities import PROPERTIES
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.coupling import Context
from mgsflow.models.flows import ConditionalFlow, joint_flow, univariate_flow
from mgsflow.models.storage import load_tensors, save_tensors

CONTEXT = 3
SMALL = {"coupling_hidden": 32, "encoding": 8, "encoder_hidden": [16], "head_hidden": 16}


class WholeBranch(nn.Module):
    """A branch with a flow's methods: its context are the inputs, its values the targets."""

    def __init__(self, targets: list[str], settings: Flows) -> None:
        super().__init__()
        self.branch = Branch(Architecture.of(CONTEXT, targets, False, settings))
        self.branch.residual_scale.fill_(0.5)

    def log_prob(self, values: Tensor, context: Tensor, given: None = None) -> Tensor:
        return self.branch.log_prob(self.branch.predict(context), values)

    def sample(self, draws: int, context: Tensor, given: None, noise: Tensor) -> Tensor:
        return self.branch.sample(self.branch.predict(context), noise)

    def to_noise(self, values: Tensor, context: Tensor, given: None = None) -> Tensor:
        branch, said = self.branch, self.branch.predict(context)
        core, column = branch.architecture.core, branch.architecture.metallicity
        residual = (values - said.mean) / branch.residual_scale
        noise = [branch.core._transform(residual[:, core], Context(said.encoding))[0]]
        if column is not None:
            where = Context(said.encoding, values[:, core])
            noise.append(branch.metallicity._transform(residual[:, [column]], where)[0])
        return torch.cat(noise, dim=1)


@dataclass(frozen=True)
class Case:
    """`dimensions` of the flow, values `given` by draw, and what builds it from settings."""

    dimensions: int
    given: int
    build: Callable[[Flows], nn.Module]
    settings: Flows


def joint(dimensions: int, coupling: str) -> Case:
    settings = Flows(coupling=coupling, **SMALL)
    return Case(dimensions, 0, lambda flows: joint_flow(dimensions, CONTEXT, flows), settings)


def univariate(kind: str, given: int) -> Case:
    settings = Flows(**SMALL)
    return Case(1, given, lambda flows: univariate_flow(kind, CONTEXT, given, flows), settings)


def branch(targets: list[str], **changes: str) -> Case:
    settings = Flows(**SMALL, **changes)
    return Case(len(targets), 0, lambda flows: WholeBranch(targets, flows), settings)


KINDS = ("affine", "spline")
FLOWS = {
    **{f"{kind} couplings, {d}-D": joint(d, kind) for kind in KINDS for d in (2, 4, 5)},
    **{f"{kind}, 1-D, given {n}": univariate(kind, n) for kind in KINDS for n in (0, 4)},
}
BRANCHES = {
    "branch, all properties": branch(list(PROPERTIES)),
    "branch, splines": branch(list(PROPERTIES), coupling="spline", metallicity_flow="spline"),
    "branch, redshift and metallicity": branch(["redshift", "metallicity"]),
    "branch, metallicity first": branch(["metallicity", "log_sfr"], metallicity_flow="spline"),
    "branch, redshift alone": branch(["redshift"]),
}
ALL = FLOWS | BRANCHES
GAUSSIAN = ("affine, 1-D, given 0", "affine, 1-D, given 4")
every_flow = pytest.mark.parametrize("name", FLOWS)
everything = pytest.mark.parametrize("name", ALL)


def build(name: str, **settings: int) -> nn.Module:
    """A flow with random weights, so that it is far from the identity it starts as."""
    flow = ALL[name].build(ALL[name].settings.model_copy(update=settings)).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(0.0, 0.15)
    return flow


def conditions(name: str, rows: int, draws: int = 1) -> tuple[Tensor, Tensor | None]:
    """A context for `rows` galaxies, and what is given for each of their draws."""
    given = ALL[name].given
    return torch.randn(rows, CONTEXT), torch.randn(rows * draws, given) if given else None


def to_noise(flow: nn.Module, values: Tensor, context: Tensor, given: Tensor | None) -> Tensor:
    if isinstance(flow, ConditionalFlow):
        return flow._transform(values, Context(context, given))[0]
    return flow.to_noise(values, context, given)


@everything
def test_inverse_undoes_forward_and_forward_inverse(name):
    """To 1e-5 in float32, of the value or of 1, whichever is the larger."""
    flow, (context, given) = build(name), conditions(name, 200)
    noise = torch.randn(200, 1, ALL[name].dimensions)
    with torch.no_grad():
        draws = flow.sample(1, context, given, noise)
        back = to_noise(flow, draws[:, 0], context, given).unsqueeze(1)
        again = flow.sample(1, context, given, back)
    assert (draws - noise).abs().max() > 0.1, "the flow is the identity: nothing is tested"
    torch.testing.assert_close(back, noise, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, draws, atol=1e-5, rtol=1e-5)


@everything
def test_log_determinant_is_the_jacobians(name):
    """log p(draw) is log N(noise) - log |d draw / d noise|, the Jacobian by autograd."""
    flow, dimensions = build(name).double(), ALL[name].dimensions
    context, given = (t if t is None else t.double() for t in conditions(name, 1))
    for noise in torch.randn(5, 1, 1, dimensions, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(
            lambda x: flow.sample(1, context, given, x), noise
        )
        logabsdet = torch.linalg.slogdet(jacobian.reshape(dimensions, dimensions)).logabsdet
        assert logabsdet.abs() > 1e-3, "volumes are kept: nothing is tested"
        expected = StandardNormal([dimensions]).log_prob(noise[0])[0] - logabsdet
        draw = flow.sample(1, context, given, noise)[0]
        torch.testing.assert_close(flow.log_prob(draw, context, given)[0], expected)
        if isinstance(flow, ConditionalFlow):
            said = flow.sample_and_log_prob(1, context, given, noise)[1][0, 0]
            torch.testing.assert_close(said, expected)


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.dimensions <= 2])
def test_density_integrates_to_one(name):
    flow, dimensions = build(name, couplings=4), ALL[name].dimensions
    step = 0.02 if dimensions == 1 else 0.05
    axis = torch.arange(-10, 10, step)
    grid = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
    context, given = conditions(name, 1)
    given = given if given is None else given.expand(len(grid), -1)
    context = context.expand(len(grid), -1) if name in BRANCHES else context
    with torch.no_grad():
        density = flow.log_prob(grid, context, given).double().exp()
    assert density.sum() * step**dimensions == pytest.approx(1.0, abs=2e-3)


@everything
def test_gradients_are_finite_at_ten_sigma(name):
    flow, (context, given) = build(name), conditions(name, 64)
    far = (10.0 * torch.sign(torch.randn(64, ALL[name].dimensions))).requires_grad_()
    context = (10.0 * context).requires_grad_()
    flow.log_prob(far, context, given).sum().backward()
    for tensor in (far, context, *flow.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
    assert any(parameter.grad.abs().sum() > 0 for parameter in flow.parameters())


@everything
def test_saved_and_loaded_flow_is_equal_to_the_bit(name, tmp_path):
    flow, (context, given) = build(name), conditions(name, 20)
    noise = torch.randn(20, 1, ALL[name].dimensions)
    save_tensors(tmp_path / "flow.safetensors", flow.state_dict())
    other = ALL[name].build(ALL[name].settings).eval()
    with torch.no_grad():
        before = other.sample(1, context, given, noise)
        other.load_state_dict(load_tensors(tmp_path / "flow.safetensors"))
        draws, loaded = (each.sample(1, context, given, noise) for each in (flow, other))
        density = [each.log_prob(draws[:, 0], context, given) for each in (flow, other)]
    assert torch.equal(draws, loaded) and not torch.allclose(draws, before)
    assert torch.equal(*density)


@everything
def test_draws_of_a_galaxy_do_not_depend_on_the_others(name):
    """A context broadcast over the draws is one that is repeated, and one galaxy at a time."""
    flow, (context, given) = build(name), conditions(name, 7, draws=11)
    noise = torch.randn(7, 11, ALL[name].dimensions)
    with torch.no_grad():
        together = flow.sample(11, context, given, noise)
        repeated = flow.sample(
            1, context.repeat_interleave(11, 0), given, noise.reshape(77, 1, -1)
        ).reshape(together.shape)
        alone = [
            flow.sample(11, context[[i]], given if given is None else given.view(7, 11, -1)[i],
                        noise[[i]])
            for i in range(7)
        ]  # fmt: skip
    torch.testing.assert_close(repeated, together)
    torch.testing.assert_close(torch.cat(alone), together)


@every_flow
def test_an_untrained_flow_is_a_unit_gaussian(name):
    case, (context, given) = ALL[name], conditions(name, 50)
    x = torch.randn(50, case.dimensions)
    with torch.no_grad():
        log_prob = case.build(case.settings).log_prob(x, context, given)
    torch.testing.assert_close(log_prob, StandardNormal([case.dimensions]).log_prob(x).float())


Truth = Callable[[int], tuple[Tensor, Tensor, Tensor | None]]


# Fewer couplings and bins than the paper's, for the sake of time.
TRAINED = {"couplings": 4, "coupling_hidden": 64, "spline_bins": 4}


def trained(name: str, draw: Truth, steps: int, rate: float, **settings: int) -> nn.Module:
    """A small flow, fitted to fresh draws of a known truth."""
    flow = ALL[name].build(ALL[name].settings.model_copy(update=TRAINED | settings))
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
    for _ in range(steps):
        loss = -flow.log_prob(*draw(256)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return flow


WIDTH = 0.05
WEIGHTS = torch.tensor(
    [[1, 0.5, -0.3], [-0.2, 0.8, 0.4], [0.5, -0.5, 0.6], [0.3, 0.2, -0.9], [0.4, -0.7, -0.2]]
)


# Steps and learning rate of those that need others than the rest.
SCHEDULES = {"spline couplings, 5-D": (600, 1e-2)} | dict.fromkeys(GAUSSIAN, (700, 3e-2))


def narrow(name: str) -> Truth:
    """Gaussians ten times narrower than their means' range, as those of a redshift are.

    Contexts and noise come in pairs of opposite noise, which steadies the gradients.
    """
    dimensions = ALL[name].dimensions

    def draw(rows):
        context, given = conditions(name, rows // 2)
        noise = WIDTH * torch.randn(rows // 2, dimensions)
        mean = 0.5 * context @ WEIGHTS[:dimensions].T
        mean = mean if given is None else mean + 0.5 * given[:, :1]
        twice = None if given is None else given.repeat(2, 1)
        return torch.cat([mean + noise, mean - noise]), context.repeat(2, 1), twice

    return draw


@pytest.mark.slow
@every_flow
def test_a_narrow_gaussian_is_fitted_within_a_tenth_of_a_nat(name):
    draw, (steps, rate) = narrow(name), SCHEDULES.get(name, (400, 1e-2))
    flow = trained(name, draw, steps, rate)
    with torch.no_grad():
        reached = flow.log_prob(*draw(20_000)).mean().item()
    truth = ALL[name].dimensions * (-math.log(WIDTH) - 0.5 * math.log(2 * math.pi) - 0.5)
    assert truth - 0.1 < reached < truth + 0.1


def two_peaks(name: str) -> Truth:
    """Peaks of width 0.3 at +-1 in every dimension at once."""

    def draw(rows):
        side = torch.sign(torch.randn(rows, 1))
        values = side + 0.3 * torch.randn(rows, ALL[name].dimensions)
        return values, *conditions(name, rows)

    return draw


def peaks_found(name: str, flow: nn.Module) -> bool:
    """Whether the density has a dip to a quarter between two peaks that share the draws."""
    at = torch.tensor([-1.0, 0.0, 1.0])[:, None].expand(3, ALL[name].dimensions)
    context, given = conditions(name, 1, draws=4000)
    with torch.no_grad():
        left, middle, right = flow.log_prob(at, context, None if given is None else given[:3])
        share = (flow.sample(4000, context, given)[0, :, 0] > 0).float().mean()
    return bool(torch.minimum(left, right) - middle > math.log(4) and abs(share - 0.5) < 0.06)


@pytest.mark.slow
@every_flow
def test_two_peaks_are_found_by_all_but_the_gaussian_flow(name):
    couplings = 2 if name.startswith("spline") else 6
    flow = trained(name, two_peaks(name), 150, 1e-2, couplings=couplings)
    assert peaks_found(name, flow) == (name not in GAUSSIAN)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_the_one_dimensional_affine_flow_is_gaussian_whatever_its_weights(name):
    flow, (context, given) = build(name), conditions(name, 1)
    x = torch.linspace(-3, 3, 101)[:, None]
    given = given if given is None else given.expand(101, -1)
    with torch.no_grad():
        curvature = flow.log_prob(x, context, given).diff().diff()
    torch.testing.assert_close(curvature, curvature.mean().expand(99), rtol=2e-2, atol=1e-5)
