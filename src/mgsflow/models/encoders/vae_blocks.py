"""The VAE's network on stamps that are cut into blocks of 2 x 2 pixels: what a GPU is fast at.

A GPU's matrix units take channels by eights, and a stamp has three. A convolution of kernel 4,
stride 2 and padding 1 is one of kernel 2 and stride 1 on blocks of 2 x 2 pixels (space to depth),
and the transposed convolution at the end is one of kernel 2 whose output channels are the pixels
of a block (Shi et al. 2016, arXiv:1609.05158). Three channels become twelve, filled up to sixteen
with zeros. The weights are the network's own, moved at each step: the sums are the same, in
another order.

Block (p, q) of a stamp holds the pixels of rows 2p - 1 and 2p and of columns 2q - 1 and 2q; those
outside the stamp are zero. Its channels run through band, row and column, the column fastest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mgsflow.models.encoders.vae import VariationalAutoencoder, moments

_ALIGNMENT = 8  # channels of 16 bits that the matrix units take at once
_PIXELS = 4  # in a block


def block_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Of a stamp of `shape` (bands, size, size) in blocks: (side, side, 4 bands)."""
    bands, size, _ = shape
    return (size // 2 + 1, size // 2 + 1, _PIXELS * bands)


def to_blocks(stamps: Tensor) -> Tensor:
    """Stamps (n, bands, size, size) of any dtype as blocks (n, side, side, 4 bands)."""
    n, bands, size, _ = stamps.shape
    side = size // 2 + 1
    # padded by slices, because functional.pad takes no uint8 on some devices
    framed = stamps.new_zeros((n, bands, size + 2, size + 2))
    framed[:, :, 1:-1, 1:-1] = stamps
    cut = framed.view(n, bands, side, 2, side, 2).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(n, side, side, _PIXELS * bands)


def inside(bands: int, size: int) -> Tensor:
    """1 where a block's pixel lies in the stamp, 0 where not: (side, side, 4 bands) float32."""
    return to_blocks(torch.ones(1, bands, size, size))[0]


def fill_channels(blocks: Tensor) -> Tensor:
    """Blocks with zeros behind their channels, up to a multiple of 8."""
    return functional.pad(blocks, (0, _missing(blocks.shape[-1])))


def forward_blocks(
    network: VariationalAutoencoder, blocks: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What `network(stamps, noise)` gives, of stretched stamps in blocks with filled channels.

    Returns the reconstruction in blocks with filled channels, (n, side, side, channels), whose
    pixels outside the stamp mean nothing, and mean and log variance, (n, latent).
    """
    first, last = network.convolutions[0], network.transposed[-1]
    features = functional.conv2d(
        blocks.permute(0, 3, 1, 2), encoder_weight(first.weight), first.bias
    )
    mean, log_variance = moments_of(network, network.convolutions[1:](features))
    latent = mean + torch.exp(0.5 * log_variance) * noise
    features = network.transposed[:-1](spread(network, latent))
    bias = last.bias.repeat_interleave(_PIXELS)
    bias = functional.pad(bias, (0, _missing(len(bias))))
    pixels = functional.conv2d(features, decoder_weight(last.weight), bias, padding=1)
    return pixels.permute(0, 2, 3, 1), mean, log_variance


def moments_of(network: VariationalAutoencoder, features: Tensor) -> tuple[Tensor, Tensor]:
    """`network.latents(features)`, row by row of the features and then summed.

    One product of a few stamps with 51,200 features occupies few of a GPU's processors, and its
    order of features is not that in which the convolutions leave them.
    """
    n, channels, size, _ = features.shape
    head = network.head
    with torch.autocast(features.device.type, enabled=False):
        rows = features.permute(0, 2, 3, 1).float().reshape(n, size, size * channels)
        weight = head.weight.view(-1, channels, size, size).permute(2, 3, 1, 0)
        weight = weight.reshape(size, size * channels, len(head.bias))
        return moments(torch.bmm(rows.transpose(0, 1), weight).sum(0) + head.bias)


def spread(network: VariationalAutoencoder, latent: Tensor) -> Tensor:
    """`network.expanded(latent)`, whose product is made in the order that is wanted after it."""
    channels, size, _ = network.shape
    weight = network.expand.weight.view(channels, size * size, -1).transpose(0, 1).flatten(0, 1)
    bias = network.expand.bias.view(channels, size * size).t().flatten()
    features = functional.linear(latent, weight, bias)
    return features.view(-1, size, size, channels).permute(0, 3, 1, 2)


def block_error(blocks: Tensor, reconstruction: Tensor, inside: Tensor) -> Tensor:
    """Sum of squared errors over the pixels inside each stamp, shape (n,), in float32."""
    return ((reconstruction.float() - blocks) * inside).square().sum((1, 2, 3))


def encoder_weight(weight: Tensor) -> Tensor:
    """Weights (out, bands, 4, 4) of the first convolution as (out, channels, 2, 2) on blocks.

    Output row o sees rows 2o - 1 + k, k < 4: pixel k mod 2 of block o + k // 2.
    """
    out, bands = weight.shape[:2]
    taps = weight.view(out, bands, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4)
    taps = taps.reshape(out, _PIXELS * bands, 2, 2)
    filled = functional.pad(taps, (0, 0, 0, 0, 0, _missing(taps.shape[1])))
    return filled.contiguous(memory_format=torch.channels_last)


def decoder_weight(weight: Tensor) -> Tensor:
    """Weights (in, bands, 4, 4) of the last transposed convolution as (channels, in, 2, 2).

    Input row i reaches rows 2i - 1 + k: pixel k mod 2 of block i + k // 2, so that a block sees
    the input row before its own number through k = 2, 3 and its own through k = 0, 1.
    """
    given, bands = weight.shape[:2]
    taps = weight.view(given, bands, 2, 2, 2, 2).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    taps = taps.reshape(_PIXELS * bands, given, 2, 2)
    filled = functional.pad(taps, (0, 0, 0, 0, 0, 0, 0, _missing(len(taps))))
    return filled.contiguous(memory_format=torch.channels_last)


def _missing(channels: int) -> int:
    return -channels % _ALIGNMENT
