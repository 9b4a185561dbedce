"""The VAE whose first latent dimensions are the targets: its loss, its orientations, its stamps."""

import numpy as np
import pytest
import torch
from synthetic_stamps import LAYOUT, write_run
from torch.distributions import Normal, kl_divergence

from mgsflow.baselines.conditional_vae_fitting import objective, read_middles, seen_side
from mgsflow.config.evaluation import ConditionalVae
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table
from mgsflow.models.conditional_vae import (
    ORIENTATIONS,
    ConditionalVaeNetwork,
    oriented,
    oriented_by_parts,
    target_error,
)
from mgsflow.sample.shards import StampSet, create_shard
from mgsflow.sample.stretch import Stretch

TARGETS, FREE = 3, 2


@pytest.fixture
def network():
    return ConditionalVaeNetwork(3, 16, TARGETS, FREE, [4, 6, 8])


@pytest.fixture
def stamps():
    return torch.randn(11, 3, 16, 16)


def test_the_loss_is_the_bound_that_distributions_give(network, stamps):
    """2 s2 times the negative evidence bound of the stamps, beside the targets' likelihood."""
    wanted, noise = torch.randn(11, TARGETS), torch.randn(11, FREE)
    settings = ConditionalVae(reconstruction_weight=0.3, kl_weight=0.05)
    loss = objective(network.terms(stamps, wanted, noise), settings)

    mean, log_variance = network.encode(stamps)
    free = Normal(mean[:, TARGETS:], log_variance[:, TARGETS:].exp().sqrt())
    drawn = free.mean + free.stddev * noise
    decoded = network.decode(torch.cat([mean[:, :TARGETS], drawn], dim=1))
    variance = settings.kl_weight / 2
    pixels = Normal(decoded, variance**0.5)
    likelihood = (pixels.log_prob(stamps) - pixels.log_prob(decoded)).sum((1, 2, 3))
    bound = likelihood - kl_divergence(free, Normal(0.0, 1.0)).sum(1)
    goals = Normal(mean[:, :TARGETS], 0.5**0.5)
    of_targets = (goals.log_prob(wanted) - goals.log_prob(goals.mean)).sum(1)
    expected = -of_targets - settings.reconstruction_weight * 2 * variance * bound
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)


def test_a_missing_target_has_no_term_and_no_gradient():
    predicted = torch.randn(5, TARGETS, requires_grad=True)
    wanted = torch.randn(5, TARGETS)
    wanted[1, 2] = torch.nan
    error = target_error(predicted, wanted)
    error.sum().backward()
    expected = (predicted - wanted).detach().square()
    torch.testing.assert_close(error[0], expected[0].sum())
    torch.testing.assert_close(error[1], expected[1, :2].sum())
    assert predicted.grad[1, 2] == 0
    torch.testing.assert_close(predicted.grad[1, :2], 2 * (predicted - wanted)[1, :2].detach())


def test_the_eight_orientations_are_those_of_a_square():
    """Each differs from the others, and any two after another are one of them."""
    stamp = torch.arange(3 * 4 * 4.0).view(1, 3, 4, 4)
    every = [oriented(stamp, number) for number in range(ORIENTATIONS)]
    assert torch.equal(every[0], stamp)
    seen = {tuple(image.flatten().tolist()) for image in every}
    assert len(seen) == ORIENTATIONS
    for image in every:
        assert tuple(oriented(image, 5).flatten().tolist()) in seen


def test_a_batch_keeps_its_galaxies_in_their_order(stamps):
    turned = oriented_by_parts(stamps)
    assert turned.shape == stamps.shape
    assert not torch.equal(turned, stamps)
    for before, after in zip(stamps, turned, strict=True):
        assert any(torch.equal(after, oriented(before[None], n)[0]) for n in range(ORIENTATIONS))


def test_a_prediction_over_all_orientations_does_not_know_how_a_galaxy_lies(network, stamps):
    expected = network.predict_oriented(stamps)
    turned = network.predict_oriented(oriented(stamps, 6))
    torch.testing.assert_close(turned, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network.predict(oriented(stamps, 6)), network.predict(stamps))


def _set(folder, paths):
    return StampSet(
        paths, read_table(folder / "index.parquet", ["objid", "shard", "row"]), Stretch(0.1, 5.0)
    )


def test_the_middle_is_stretched_and_then_binned(tmp_path):
    paths, _ = write_run(tmp_path, count=12)
    stamps = _set(tmp_path, paths)
    rows = np.array([7, 2, 11])
    found = read_middles(stamps, rows, ConditionalVae(field=8, binning=1)).numpy()
    np.testing.assert_allclose(found, stamps.read(rows)[:, :, 4:12, 4:12], rtol=1e-3, atol=1e-6)
    binned = read_middles(stamps, rows, ConditionalVae(field=80, binning=2)).numpy()
    blocks = stamps.read(rows).reshape(3, 3, 8, 2, 8, 2).mean((3, 5))
    np.testing.assert_allclose(binned, blocks, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "field", "binning", "side"),
    [(160, 80, 1, 80), (160, 80, 2, 80), (64, 80, 2, 64), (160, 90, 2, 80), (100, 160, 1, 96)],
)
def test_the_side_that_is_seen(size, field, binning, side):
    assert seen_side(size, ConditionalVae(field=field, binning=binning)) == side


def test_a_stamp_too_small_to_be_binned_so_is_refused():
    with pytest.raises(UserError, match="stamps of 16 pixels.*binned by 4.*Lower its binning"):
        seen_side(16, ConditionalVae(binning=4))


def test_a_pixel_that_is_no_number_is_refused_by_name(tmp_path):
    write_run(tmp_path, count=8, shards=1)
    path = tmp_path / "shard-000.h5"
    path.unlink()
    with create_shard(path, LAYOUT, 8) as writer:
        for row in range(8):
            pixels = np.zeros(LAYOUT.shape, np.float16)
            pixels[0, 5, 5] = np.nan if row == 3 else 1
            writer.add(1237648720693755918 + row, pixels)
    with pytest.raises(UserError, match="objid 1237648720693755921 has pixels"):
        read_middles(_set(tmp_path, [path]), np.arange(8), ConditionalVae())
