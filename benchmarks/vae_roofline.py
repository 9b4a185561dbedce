"""The minimum time of a training step of the VAE, from its operations and its bytes.

Every layer computes three products: forward, the gradient of its inputs, and that of its weights.
For each, the longer of two times counts: its multiplications and additions at the rate of a large
matrix product, and its operands, read or written once, at the rate of a large copy. Activations are
assumed to take two bytes, and biases and ReLUs to be free. The stamp itself is read for the encoder
and again for the loss. Adam reads weights, gradients and both moments and writes weights and
moments: 28 bytes per parameter and step. Nothing is assumed to stay in a cache from one product to
the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mgsflow.config import Vae
from mgsflow.models.encoders.vae import VariationalAutoencoder

_ACTIVATION = 2  # bytes
_ADAM = 28  # bytes per parameter
_KERNEL = 4


@dataclass(frozen=True)
class Layer:
    """Work of one layer for one stamp, forward: floating-point operations, and elements."""

    name: str
    flop: int
    inputs: int
    outputs: int
    first: bool = False  # whose inputs need no gradient

    def products(self) -> list[tuple[int, int]]:
        """(FLOP, bytes) of each product: forward, gradient of the weights, of the inputs."""
        both = (self.inputs + self.outputs) * _ACTIVATION
        return [(self.flop, both)] * (2 if self.first else 3)


def layers(bands: int, size: int, latent: int, channels: list[int]) -> list[Layer]:
    """The layers of `models.encoders.vae.VariationalAutoencoder`."""
    widths = [bands, *channels]
    sizes = [size // 2**i for i in range(4)]
    elements = [width * s * s for width, s in zip(widths, sizes, strict=True)]
    found = []
    for i in range(3):
        flop = 2 * widths[i] * widths[i + 1] * _KERNEL**2 * sizes[i + 1] ** 2
        names = f"convolution {i + 1}", f"transposed convolution {3 - i}"
        found.append(Layer(names[0], flop, elements[i], elements[i + 1], first=i == 0))
        found.append(Layer(names[1], flop, elements[i + 1], elements[i]))
    found.append(Layer("head", 4 * latent * elements[3], elements[3], 2 * latent))
    found.append(Layer("expansion", 2 * latent * elements[3], latent, elements[3]))
    return found


@dataclass(frozen=True)
class Card:
    """Peak rates of a card: FLOP/s in bfloat16, and bytes read and written per second."""

    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Roofline:
    """Work of one step over `batch` stamps, and its minimum seconds on `card`."""

    flop: float
    bytes: float
    seconds: float
    batch: int

    @property
    def images_per_second(self) -> float:
        return self.batch / self.seconds


def roofline(found: list[Layer], parameters: int, pixels: int, batch: int, card: Card) -> Roofline:
    """The bound of a step; `pixels` is the number of pixels of a stamp in all bands."""
    flop = moved = seconds = 0.0
    passes = [product for layer in found for product in layer.products()]
    # the loss: the stamp again, the reconstruction, and its gradient
    passes.append((0, 3 * pixels * _ACTIVATION))
    for operations, size in passes:
        flop += operations * batch
        moved += size * batch
        seconds += batch * max(operations / card.flops, size / card.bandwidth)
    adam = _ADAM * parameters
    return Roofline(flop, moved + adam, seconds + adam / card.bandwidth, batch)


def of_network(vae: Vae, size: int, batch: int, card: Card, bands: int = 3) -> Roofline:
    """The bound of the network of `vae`, for stamps of `bands` x `size` x `size` pixels."""
    network = VariationalAutoencoder(bands, size, vae.latent, vae.channels)
    parameters = sum(p.numel() for p in network.parameters())
    found = layers(bands, size, vae.latent, vae.channels)
    return roofline(found, parameters, bands * size**2, batch, card)


def measure_card(device: torch.device, tiny: bool = False) -> Card:
    """Measure the card: a product of two random bfloat16 matrices, a copy within its memory."""
    side = 256 if tiny else 8192
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    seconds = _fastest(lambda: left @ right, device)
    source = torch.empty((1 << 22) if tiny else (1 << 32), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = _fastest(lambda: target.copy_(source), device)
    return Card(2 * side**3 / seconds, 2 * source.numel() / copied)


def _fastest(
    work: Callable[[], object], device: torch.device, rounds: int = 3, calls: int = 10
) -> float:
    """Seconds per call, in the fastest of some rounds, after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        start = now(device)
        for _ in range(calls):
            work()
        times.append((now(device) - start) / calls)
    return min(times[1:])


def now(device: torch.device) -> float:
    """The time in seconds, read when the device has finished its work.

    On a CPU this is CPU time, so that other work on the machine does not count.
    """
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
