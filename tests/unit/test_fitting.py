"""Models fitted at once come to what each comes to by itself, in the plainest loop."""

import copy

import numpy as np
import pytest
import torch
from plain_fitting import plain_fit
from torch import nn

from mgsflow.config.models import Flows
from mgsflow.core.errors import UserError
from mgsflow.models.branch import Architecture
from mgsflow.models.encoder import Heads
from mgsflow.models.flows import joint_flow, univariate_flow
from mgsflow.training import fitting, heads, members
from mgsflow.training.fitting import fit
from mgsflow.training.stack import Stack

MODELS, SEEDS = 3, [11, 12, 13]
SETTINGS = Flows(
    encoding=8,
    encoder_hidden=[16],
    head_hidden=8,
    coupling_hidden=8,
    couplings=4,
    spline_bins=4,
    dropout=0.0,
    batch_size=32,
    epochs=12,
    patience=3,
    learning_rate=5e-3,
)
ARCHITECTURE = Architecture.of(5, ["log_sfr", "metallicity"], True, SETTINGS)


def columns(rows, kind, seed):
    random = torch.Generator().manual_seed(seed)
    if kind == "heads":
        inputs = torch.randn(rows, 5, generator=random)
        targets = inputs[:, :2] ** 2 + 0.3 * torch.randn(rows, 2, generator=random)
        targets[inputs[:, 3] > 0.5, 1] = float("nan")
        return [inputs[None], targets[None]]
    width = 1 if kind == "metallicity" else 3
    encoding = torch.randn(MODELS, rows, 8, generator=random)
    noise = torch.randn(MODELS, rows, width, generator=random)
    values = encoding[..., :width] + noise.exp() * 0.5
    given = [torch.randn(1, rows, 2, generator=random)] if kind == "metallicity" else []
    return [values, encoding, *given]


def model_of(kind, seed):
    torch.manual_seed(seed)
    if kind == "heads":
        return heads._Loss(Heads(5, 2, True, SETTINGS), ARCHITECTURE)
    if kind == "metallicity":
        return members._Loss(univariate_flow("spline", 8, 2, SETTINGS))
    settings = SETTINGS.model_copy(update={"coupling": kind})
    return members._Loss(joint_flow(3, 8, settings))


def own(parts, model):
    return [part[0] if len(part) == 1 else part[model] for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["heads", "affine", "spline", "metallicity"])
def test_fitted_at_once_as_each_by_itself(kind):
    train, held = columns(150, kind, 1), columns(60, kind, 2)
    together = [model_of(kind, seed) for seed in SEEDS]
    alone = copy.deepcopy(together)
    # as many rows for each, or the longest would leave some out
    rows = [torch.arange(i, i + 140) for i in range(MODELS)]
    curves = fit(together, train, held, SETTINGS, SEEDS, "models", rows)
    for i, model in enumerate(alone):
        orders = [fitting._orders(rows, SEEDS, epoch)[i] for epoch in range(SETTINGS.epochs)]
        curve = plain_fit(model, own(train, i), own(held, i), SETTINGS, orders)
        assert len(curve) == len(curves[i]), "it ended at another epoch"
        np.testing.assert_allclose(curves[i], curve, rtol=2e-3, atol=2e-4)
        for one, other in zip(together[i].parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0.02, atol=2e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["heads", "affine", "spline", "metallicity"])
def test_recorded_on_a_gpu_as_each_by_itself(kind):
    """Three hundred steps, of two sizes of batches, all but the first few of them replayed."""
    train, held = columns(150, kind, 1), columns(60, kind, 2)
    settings = SETTINGS.model_copy(update={"epochs": 60, "learning_rate": 2e-3})
    alone = [model_of(kind, seed) for seed in SEEDS]
    together = [copy.deepcopy(model).cuda() for model in alone]
    on_gpu = [[part.cuda() for part in parts] for parts in (train, held)]
    curves = fit(together, *on_gpu, settings, SEEDS, "models")
    rows = [torch.arange(150)] * MODELS
    for i, model in enumerate(alone):
        orders = [fitting._orders(rows, SEEDS, epoch)[i] for epoch in range(settings.epochs)]
        curve = plain_fit(model, own(train, i), own(held, i), settings, orders)
        both = min(len(curve), len(curves[i]), 15)
        np.testing.assert_allclose(curves[i][:both], curve[:both], rtol=1e-2, atol=1e-3)
        best = min(validation for _, _, validation in curve)
        assert min(point[2] for point in curves[i]) == pytest.approx(best, rel=0.05, abs=0.02)


def test_models_end_one_by_one_and_each_keeps_its_best():
    train, held = columns(150, "heads", 1), columns(60, "heads", 2)
    models = [model_of("heads", seed) for seed in SEEDS]
    settings = SETTINGS.model_copy(update={"epochs": 60, "learning_rate": 2e-2})
    curves = fit(models, train, held, settings, SEEDS, "models")
    ends = [len(curve) for curve in curves]
    assert len(set(ends)) > 1 and max(ends) < 60, "choose a toy whose models end at different times"
    for model, curve in zip(models, curves, strict=True):
        assert not model.training
        losses = [validation for _, _, validation in curve]
        assert int(np.argmin(losses)) == len(curve) - 1 - settings.patience
        with torch.no_grad():
            assert model(*own(held, 0)).item() == pytest.approx(min(losses), rel=1e-5)


def test_a_model_does_not_depend_on_those_beside_it():
    train, held = columns(150, "heads", 1), columns(60, "heads", 2)
    three = [model_of("heads", seed) for seed in SEEDS]
    one = copy.deepcopy(three[1:2])
    fit(three, train, held, SETTINGS, SEEDS, "models")
    fit(one, train, held, SETTINGS, SEEDS[1:2], "models")
    for a, b in zip(three[1].parameters(), one[0].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=2e-3)


def test_dropout_drops_others_in_each_model_and_none_in_validation():
    model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(0), nn.Linear(1000, 1), nn.Flatten(0))

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x).mean()

    stack = Stack([Mean(), Mean()])
    x = torch.ones(1, 1000)
    first, second = stack.losses([x])
    assert first != second
    stack.train(False)
    first, second = stack.losses([x])
    assert first == second


def test_rows_beyond_the_fewest_are_left_out_at_random():
    rows = [torch.arange(10), torch.arange(100, 112)]
    orders = [fitting._orders(rows, [1, 2], epoch) for epoch in range(30)]
    assert all(order.shape == (2, 10) for order in orders)
    assert all(sorted(order[0].tolist()) == list(range(10)) for order in orders)
    assert {int(i) for order in orders for i in order[1]} == set(range(100, 112))
    assert not torch.equal(orders[0][0], orders[1][0])


def test_models_with_other_buffers_are_no_stack():
    flows = [joint_flow(3, 8, SETTINGS), joint_flow(3, 8, SETTINGS)]
    flows[1]._transform._transforms[0].identity_features += 1
    with pytest.raises(ValueError, match="buffers"):
        Stack(flows)


def test_divergence_is_said():
    train, held = columns(100, "heads", 1), columns(60, "heads", 2)
    train[0][0, 0] = float("inf")
    with pytest.raises(UserError, match=r"diverged in epoch 0.*flows.learning_rate"):
        fit([model_of("heads", 1)], train, held, SETTINGS, [1], "heads")
