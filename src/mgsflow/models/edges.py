"""The VAE's first and last layer as single GPU kernels, with all that surrounds them.

They hold a fifth of the network's operations and most of its bytes: as torch writes them, each
activation of 80 x 80 x 32 passes through memory for the product, for the bias and the ReLU, and
again for the gradients of each. Here a kernel reads what it needs once and writes what the next
layer reads:

- `encode`: the first convolution of stamps in blocks, with bias and ReLU.
- `decode`: bias and ReLU of the layer before the last, the last transposed convolution, its
  difference from the stamp, and the sum of that squared. The reconstruction itself is not kept.

Products are of bfloat16, summed in float32. Blocks are those of `models.blocks`. For any network
whose first convolution has 16, 32 or 64 channels, and up to four bands.
"""

from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from mgsflow.models.blocks import decoder_weight, encoder_weight, moments_of, spread
from mgsflow.models.vae import VariationalAutoencoder

COMPUTED_IN = torch.bfloat16  # a test sets float32, in which Triton's interpreter multiplies
_CHANNELS = (16, 32, 64)
_COMPUTED = 16  # channels of a block: four bands of four pixels
_PROGRAMS = 1024  # that sum gradients of weights: some for each of a GPU's processors
# Places in a tile, and warps that work on it: the fastest of three on an H200
TILES = {
    "encode": (64, 4),
    "encode_grad": (128, 4),
    "decode": (128, 8),
    "decode_inputs": (128, 4),
    "decode_weights": (128, 8),
}


def why_not_edges(bands: int, channels: list[int], precision: str) -> str | None:
    """The reason why these kernels cannot run such a network, or None if they can."""
    if find_spec("triton") is None:
        return "triton is not installed"
    if precision != "bfloat16":
        return f"its kernels compute in bfloat16, not in {precision}"
    if channels[0] not in _CHANNELS or 4 * bands > _COMPUTED:
        return f"its kernels are not made for {bands} bands and {channels[0]} channels"
    return None


def edge_losses(
    network: VariationalAutoencoder, blocks: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared error (n,), mean and log variance (n, latent) of blocks (n, side, side, 4 bands).

    The blocks are stretched float16, or uint8 pixels of a JPEG, which are divided by 255.
    """
    first, second, last = network.convolutions[0], network.transposed[-3], network.transposed[-1]
    bias = functional.pad(last.bias.repeat_interleave(4), (0, _COMPUTED - 4 * len(last.bias)))
    features = encode(blocks, _pack(encoder_weight(first.weight)), first.bias)
    features = network.convolutions[2:](features.permute(0, 3, 1, 2))
    mean, log_variance = moments_of(network, features)
    features = spread(network, mean + torch.exp(0.5 * log_variance) * noise)
    features = network.transposed[:-3](features)
    # without its bias, which `decode` adds
    features = functional.conv_transpose2d(features, second.weight, None, stride=2, padding=1)
    weight = _pack(decoder_weight(last.weight))
    error, _ = decode(features.permute(0, 2, 3, 1), second.bias, weight, bias, blocks)
    return error, mean, log_variance


def _pack(weight: Tensor) -> Tensor:
    """Weights (out, in, 2, 2) of a convolution as (4 x in, out), both filled to 16 channels."""
    out, given = weight.shape[:2]
    missing = (0, 0, 0, 0, 0, max(_COMPUTED - given, 0), 0, max(_COMPUTED - out, 0))
    filled = functional.pad(weight, missing)
    return filled.permute(2, 3, 1, 0).reshape(-1, filled.shape[0])


@torch.library.custom_op("mgsflow::encode", mutates_args=())
def encode(blocks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ReLU of the first convolution: (n, side - 1, side - 1, channels) bfloat16.

    `weight` (64, channels) as `_pack` gives it, `bias` (channels,).
    """
    from mgsflow.models.edge_kernels import encode_kernel

    n, side, _, pixels = blocks.shape
    channels = len(bias)
    out = blocks.new_empty((n, side - 1, side - 1, channels), dtype=COMPUTED_IN)
    shape = {"SIDE": side, "C4": pixels, "CP": _COMPUTED, "F": channels} | _tile("encode")
    grid = (n, _tiles("encode", side - 1))
    weight = weight.to(COMPUTED_IN).contiguous()
    encode_kernel[grid](blocks.contiguous(), weight, bias.float(), out, _scale(blocks), **shape)
    return out


@encode.register_fake
def _(blocks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, side = blocks.shape[:2]
    return blocks.new_empty((n, side - 1, side - 1, len(bias)), dtype=COMPUTED_IN)


@torch.library.custom_op("mgsflow::encode_grad", mutates_args=())
def encode_grad(blocks: Tensor, features: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of weight, (64, channels), and bias, (channels,), in float32."""
    from mgsflow.models.edge_kernels import encode_grad_kernel

    n, side, _, pixels = blocks.shape
    channels = features.shape[-1]
    parts, tiles = _parts(n, _tiles("encode_grad", side - 1))
    weights = _room(blocks, n * parts, 4 * _COMPUTED, channels)
    biases = _room(blocks, n * parts, channels)
    shape = {"SIDE": side, "C4": pixels, "CP": _COMPUTED, "F": channels} | _tile("encode_grad")
    encode_grad_kernel[(n, parts)](
        blocks.contiguous(), features.contiguous(), gradient.to(COMPUTED_IN).contiguous(),
        weights, biases, _scale(blocks), tiles, **shape,
    )  # fmt: skip
    return weights.sum(0), biases.sum(0)


@encode_grad.register_fake
def _(blocks: Tensor, features: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    channels = features.shape[-1]
    return _room(blocks, 4 * _COMPUTED, channels), _room(blocks, channels)


@torch.library.custom_op("mgsflow::decode", mutates_args=())
def decode(
    features: Tensor, before: Tensor, weight: Tensor, bias: Tensor, blocks: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared error (n,) of the decoded stamps, and their difference (n, side, side, 16).

    `features` (n, side - 1, side - 1, channels) are those before the bias `before` and the ReLU;
    `weight` (4 channels, 16) as `_pack` gives it, `bias` (16,).
    """
    from mgsflow.models.edge_kernels import decode_kernel

    n, side, _, pixels = blocks.shape
    difference = blocks.new_empty((n, side, side, _COMPUTED), dtype=COMPUTED_IN)
    tiles, channels = _tiles("decode", side), features.shape[-1]
    errors = _room(blocks, n, tiles)
    shape = {"SIDE": side, "C4": pixels, "CP": _COMPUTED, "F": channels} | _tile("decode")
    decode_kernel[(n, tiles)](
        features.to(COMPUTED_IN).contiguous(), before.float(), weight.to(COMPUTED_IN).contiguous(),
        bias.float().contiguous(), blocks.contiguous(), difference, errors, _scale(blocks), **shape,
    )  # fmt: skip
    return errors.sum(1), difference


@decode.register_fake
def _(
    features: Tensor, before: Tensor, weight: Tensor, bias: Tensor, blocks: Tensor
) -> tuple[Tensor, Tensor]:
    n, side = blocks.shape[:2]
    difference = blocks.new_empty((n, side, side, _COMPUTED), dtype=COMPUTED_IN)
    return _room(blocks, n), difference


@torch.library.custom_op("mgsflow::decode_grad", mutates_args=())
def decode_grad(
    features: Tensor, before: Tensor, weight: Tensor, difference: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `decode`'s features, before, weight and bias; `gradient` (n,) of its error."""
    from mgsflow.models.edge_kernels import decode_inputs_kernel, decode_weights_kernel

    n, side = difference.shape[:2]
    channels = features.shape[-1]
    features = features.to(COMPUTED_IN).contiguous()
    before, gradient = before.float(), gradient.float().contiguous()
    # (tap, channel, pixel) to (tap, pixel, channel)
    turned = weight.view(4, channels, _COMPUTED).transpose(1, 2).to(COMPUTED_IN).contiguous()
    shape = {"SIDE": side, "CP": _COMPUTED, "F": channels}
    inputs = torch.empty_like(features)
    tiles = _tiles("decode_inputs", side - 1)
    summed = _room(difference, n, tiles, channels)
    decode_inputs_kernel[(n, tiles)](
        features, before, turned, difference, gradient, inputs, summed,
        **shape, **_tile("decode_inputs"),
    )  # fmt: skip
    parts, tiles = _parts(n, _tiles("decode_weights", side))
    weights = _room(difference, n * parts, 4 * channels, _COMPUTED)
    biases = _room(difference, n * parts, _COMPUTED)
    decode_weights_kernel[(n, parts)](
        features, before, difference, gradient, weights, biases, tiles,
        **shape, **_tile("decode_weights"),
    )  # fmt: skip
    return inputs, summed.sum((0, 1)), weights.sum(0), biases.sum(0)


@decode_grad.register_fake
def _(
    features: Tensor, before: Tensor, weight: Tensor, difference: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    channels = features.shape[-1]
    inputs = torch.empty_like(features, memory_format=torch.contiguous_format)
    return (
        inputs.to(COMPUTED_IN),
        _room(features, channels),
        _room(features, 4 * channels, _COMPUTED),
        _room(features, _COMPUTED),
    )


def _save_encode(ctx, inputs, output):  # noqa: ANN001, ANN202
    ctx.save_for_backward(inputs[0], output)


def _encode_backward(ctx, gradient):  # noqa: ANN001, ANN202
    return None, *encode_grad(*ctx.saved_tensors, gradient)


def _save_decode(ctx, inputs, output):  # noqa: ANN001, ANN202
    ctx.set_materialize_grads(False)  # the difference has none
    ctx.save_for_backward(*inputs[:3], output[1])


def _decode_backward(ctx, gradient, _):  # noqa: ANN001, ANN202
    return *decode_grad(*ctx.saved_tensors, gradient), None


encode.register_autograd(_encode_backward, setup_context=_save_encode)
decode.register_autograd(_decode_backward, setup_context=_save_decode)


def _room(like: Tensor, *shape: int) -> Tensor:
    return like.new_empty(shape, dtype=torch.float32)


def _scale(blocks: Tensor) -> float:
    return 1 / 255 if blocks.dtype == torch.uint8 else 1.0


def _tile(kernel: str) -> dict[str, int]:
    places, warps = TILES[kernel]
    return {"BM": places, "num_warps": warps}


def _tiles(kernel: str, width: int) -> int:
    """Tiles of a stamp with `width` places a row."""
    return -(-width * width // TILES[kernel][0])


def _parts(n: int, tiles: int) -> tuple[int, int]:
    """In how many parts a stamp's tiles are summed, and how many tiles a part has."""
    parts = max(1, min(tiles, _PROGRAMS // n))
    each = -(-tiles // parts)
    return -(-tiles // each), each
