"""The VAE on stamps in blocks against the network as it is written."""

import pytest
import torch

from mgsflow.models.encoders.vae import VariationalAutoencoder, reconstruction_error
from mgsflow.models.encoders.vae_blocks import (
    block_error,
    block_shape,
    fill_channels,
    forward_blocks,
    inside,
    to_blocks,
)


def network(bands=3, size=32, channels=(32, 8, 16)):
    torch.manual_seed(0)
    return VariationalAutoencoder(bands, size, 5, list(channels))


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


def test_blocks_hold_each_pixel_once_and_zeros_around():
    stamps = torch.arange(1, 1 + 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    blocks = to_blocks(stamps)
    assert blocks.shape == (2, *block_shape((3, 16, 16))) == (2, 9, 9, 12)
    for band, row, column in ((0, 0, 0), (1, 5, 8), (2, 15, 15), (2, 15, 0)):
        p, q = (row + 1) // 2, (column + 1) // 2
        channel = 4 * band + 2 * ((row + 1) % 2) + (column + 1) % 2
        assert blocks[1, p, q, channel] == stamps[1, band, row, column]
    assert sorted(blocks[0][blocks[0] > 0].tolist()) == list(range(1, 1 + 3 * 16 * 16))
    assert torch.equal(inside(3, 16), (blocks[0] > 0).float())


@pytest.mark.parametrize(("bands", "channels"), [(3, (6, 8, 10)), (1, (4, 6, 8)), (5, (8, 4, 6))])
def test_network_on_blocks_is_the_network(bands, channels):
    model = network(bands, 32, channels)
    stamps, noise = torch.randn(4, bands, 32, 32), torch.randn(4, 5)
    blocks = fill_channels(to_blocks(stamps))
    assert blocks.shape[-1] % 8 == 0
    expected, mean, log_variance = model(stamps, noise)
    found, block_mean, block_log_variance = forward_blocks(model, blocks, noise)
    within = fill_channels(inside(bands, 32))
    assert torch.allclose(block_mean, mean, atol=1e-6)
    assert torch.allclose(block_log_variance, log_variance, atol=1e-6)
    assert torch.allclose(found * within, fill_channels(to_blocks(expected)), atol=1e-6)
    error, block = reconstruction_error(stamps, expected), block_error(blocks, found, within)
    assert torch.allclose(block, error, rtol=1e-5)
    for one, other in zip(
        gradients(block.mean(), model), gradients(error.mean(), model), strict=True
    ):
        assert relative(one, other) < 1e-5
