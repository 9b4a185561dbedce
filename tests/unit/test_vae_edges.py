"""The VAE on stamps in blocks, and its kernels for a GPU, against the network as it is written."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mgsflow.models.blocks import (
    block_error,
    block_shape,
    fill_channels,
    forward_blocks,
    inside,
    to_blocks,
)
from mgsflow.models.vae import VariationalAutoencoder, reconstruction_error


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


def losses(model, pixels, noise, precision):
    """Error, mean and gradients on `forward_blocks`, in `precision`."""
    stretched = pixels.float() / (255 if pixels.dtype == torch.uint8 else 1)
    blocks = fill_channels(stretched)
    architecture = model.architecture
    within = fill_channels(inside(architecture["bands"], architecture["size"])).to(pixels.device)
    enabled = precision == torch.bfloat16
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=enabled):
        reconstruction, mean, _ = forward_blocks(model, blocks, noise)
    error = block_error(blocks, reconstruction, within)
    return error, mean, gradients(error.mean() + mean.square().sum(), model)


def pixels_of(bands, size, dtype, device="cpu"):
    shape = (9, bands, size, size)
    if dtype == torch.uint8:
        return to_blocks(torch.randint(0, 256, shape, dtype=dtype, device=device))
    return to_blocks(torch.randn(shape, device=device).to(dtype))


def check_interpreted():
    """What the next test runs in a process of its own, in Triton's interpreter, in float32."""
    from mgsflow.models import edges

    edges.COMPUTED_IN = torch.float32
    for bands, dtype in ((3, torch.float16), (1, torch.uint8), (4, torch.float16)):
        model = network(bands)
        pixels, noise = pixels_of(bands, 32, dtype), torch.randn(9, 5)
        error, mean, expected = losses(model, pixels, noise, torch.float32)
        found, found_mean, _ = edges.edge_losses(model, pixels, noise)
        assert relative(found, error) < 1e-5
        assert relative(found_mean, mean) < 1e-5
        own = gradients(found.mean() + found_mean.square().sum(), model)
        for one, other in zip(own, expected, strict=True):
            assert relative(one, other) < 1e-5
    print("kernels agree")


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_kernels_in_tritons_interpreter_agree_with_torch():
    folder = Path(__file__).parent
    command = [sys.executable, "-c", "import test_vae_edges as t; t.check_interpreted()"]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "kernels agree" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
def test_kernels_err_no_more_than_bfloat16_does(dtype):
    from mgsflow.models import edges

    model = network(3, 160, (32, 64, 128)).to("cuda", memory_format=torch.channels_last)
    pixels, noise = pixels_of(3, 160, dtype, "cuda"), torch.randn(9, 5, device="cuda")
    exact = losses(model, pixels, noise, torch.float32)
    usual = losses(model, pixels, noise, torch.bfloat16)
    with torch.autocast("cuda", torch.bfloat16):
        error, mean, _ = edges.edge_losses(model, pixels, noise)
    own = (error, mean, gradients(error.mean() + mean.square().sum(), model))
    assert relative(own[0], exact[0]) < 1e-2
    assert relative(own[1], exact[1]) < 2e-2
    for found, bf16, expected in zip(own[2], usual[2], exact[2], strict=True):
        assert relative(found, expected) < 2 * max(relative(bf16, expected), 1e-3)
