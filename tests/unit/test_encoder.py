"""The heads' combined loss: missing metallicities teach the means nothing, and detection all."""

import math

import numpy as np
import pytest
import torch

from mgsflow.config.models import Flows
from mgsflow.models.encoder import Heads, combined_loss, masked_squared_error
from mgsflow.models.standardise import Standardiser

SETTINGS = Flows(encoding=12, encoder_hidden=[8], head_hidden=8)
NAN = float("nan")


def test_shapes_and_the_absent_detectability_head():
    prediction = Heads(7, 5, True, SETTINGS)(torch.randn(9, 7))
    assert [tuple(part.shape) for part in prediction] == [(9, 12), (9, 5), (9,)]
    assert Heads(7, 5, False, SETTINGS)(torch.randn(9, 7)).logit is None


def test_the_papers_encoding_has_256_dimensions():
    assert Heads(73, 5, True, Flows())(torch.randn(2, 73)).encoding.shape == (2, 256)


def test_squared_error_over_what_was_measured():
    truth = torch.tensor([[1.0, NAN], [2.0, 5.0]])
    assert masked_squared_error(torch.zeros(2, 2), truth).item() == pytest.approx(30 / 3)


def test_a_missing_metallicity_has_no_gradient():
    mean = torch.randn(6, 2, requires_grad=True)
    truth = torch.randn(6, 2)
    truth[::2, 1] = NAN
    masked_squared_error(mean, truth).backward()
    assert torch.isfinite(mean.grad).all()
    assert (mean.grad[::2, 1] == 0).all()
    assert (mean.grad[1::2, 1] != 0).all() and (mean.grad[:, 0] != 0).all()


def test_all_missing_is_zero_and_not_nan():
    mean = torch.randn(3, 1, requires_grad=True)
    loss = masked_squared_error(mean, torch.full((3, 1), NAN))
    loss.backward()
    assert loss.item() == 0 and (mean.grad == 0).all()


def test_combined_loss_adds_the_cross_entropy():
    heads = Heads(4, 2, True, SETTINGS).eval()
    prediction = heads(torch.randn(10, 4))
    truth, measured = torch.randn(10, 2), (torch.arange(10) % 2).float()
    p = torch.sigmoid(prediction.logit)
    entropy = -(measured * p.log() + (1 - measured) * (1 - p).log()).mean()
    expected = (prediction.mean - truth).square().mean() + entropy
    torch.testing.assert_close(combined_loss(prediction, truth, measured), expected)


def test_both_terms_reach_the_shared_encoder():
    heads = Heads(4, 2, True, SETTINGS)
    inputs, truth = torch.randn(10, 4), torch.full((10, 2), NAN)
    combined_loss(heads(inputs), truth, torch.ones(10)).backward()
    assert heads.encoder[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None or (p.grad == 0).all() for p in heads.mean.parameters())


def test_standardiser_leaves_missing_missing_and_comes_back():
    values = np.array([[1.0, 5.0, 3.0], [3.0, NAN, 3.0], [5.0, 9.0, 3.0]])
    scale = Standardiser.fit(values)
    standard = scale.apply(values)
    assert standard.dtype == np.float32 and np.isnan(standard[1, 1])
    np.testing.assert_allclose(np.nanmean(standard, axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(np.nanstd(standard, axis=0)[:2], 1, rtol=1e-6)
    assert (standard[:, 2] == 0).all(), "a constant column is 0, not NaN"
    np.testing.assert_allclose(scale.invert(standard), values, rtol=1e-6)


def test_standardiser_goes_through_json_unchanged():
    import json

    scale = Standardiser.fit(np.random.default_rng(0).normal(math.pi, 1e-3, (50, 3)))
    again = Standardiser.from_json(json.loads(json.dumps(scale.to_json())))
    assert np.array_equal(again.mean, scale.mean) and np.array_equal(again.std, scale.std)


def test_an_input_beyond_the_training_sets_range_counts_as_one_at_its_end():
    heads = Heads(3, 2, False, Flows(encoding=8, encoder_hidden=[8], head_hidden=8)).eval()
    train = torch.randn(50, 3)
    far = torch.tensor([[1e6, -1e6, 0.0]])
    free, within = heads(far).mean, heads(train).mean
    heads.bound(train)
    ends = torch.stack([train[:, 0].max(), train[:, 1].min(), torch.tensor(0.0)])[None]
    assert torch.equal(heads(far).mean, heads(ends).mean)
    assert not torch.equal(heads(far).mean, free)
    assert torch.equal(heads(train).mean, within), "the training set's own are as before"
