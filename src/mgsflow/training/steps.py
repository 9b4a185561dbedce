"""One step of the VAE's training, and the ways to run it: as written, compiled, replayed.

As written, a step consists of about two hundred kernels, most of which move a batch through memory
to add a bias or apply a ReLU; with 128 stamps a GPU finishes many of them before the next is
launched. torch.compile fuses the kernels; a CUDA graph launches all of a step's kernels at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mgsflow.config import Compute
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.models.encoders.vae import (
    VariationalAutoencoder,
    autocast,
    kl_divergence,
    reconstruction_error,
)
from mgsflow.models.encoders.vae_blocks import block_error, fill_channels, forward_blocks, inside
from mgsflow.sample.stretch import Stretch
from mgsflow.training.batches import stretch_tensor
from mgsflow.training.replay import Replay, Work

StampLosses = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Number of stamps, all epochs together, from which compiling pays on a CPU: it takes about twenty
# seconds, and saves a millisecond or more per stamp of the paper's size (docs/performance.md).
COMPILED_FROM = 100_000


@dataclass(frozen=True)
class Modes:
    """How a step runs. Each mode changes the order of sums, and thus the weights' last bits.

    `blocks`: stamps in blocks of 2 x 2 pixels (`models.encoders.vae_blocks`); `compiled`: by
    torch.compile; `captured`: as a CUDA graph; `tuned`: cuDNN tries its algorithms and uses the
    fastest, and the head's float32 products are computed in TF32.
    """

    blocks: bool = False
    compiled: bool = False
    captured: bool = False
    tuned: bool = False

    @classmethod
    def of(cls, compute: Compute, device: torch.device, stamps: int) -> Modes:
        """The modes that the settings select; `stamps` counts the training stamps of all epochs.

        Raises UserError if compilation is required but fails.
        """
        on_gpu = device.type == "cuda"
        pays = on_gpu or stamps >= COMPILED_FROM
        if compute.compile == "never" or (compute.compile == "auto" and not pays):
            return cls()
        reason = why_not_compiled(device)
        if reason and compute.compile == "always":
            raise UserError(
                f"compute.compile is `always`, but torch.compile fails here: {reason}. Install a "
                "C++ compiler, or set compute.compile to `auto` or `never`."
            )
        if reason:
            say(f"torch.compile fails here; the training runs without it: {reason}")
        return cls(blocks=on_gpu, compiled=not reason, captured=on_gpu, tuned=on_gpu)


def why_not_compiled(device: torch.device) -> str | None:
    """The reason why torch.compile fails on `device`, in one line; None if it works."""
    try:
        torch.compile(lambda x: torch.exp(x) + 1)(torch.zeros(8, device=device))
    except Exception as error:  # a missing compiler is reported in many ways
        return f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return None


@contextmanager
def libraries(modes: Modes) -> Iterator[None]:
    """A context in which cuDNN and cuBLAS choose their kernels as `modes` specify."""
    searched = torch.backends.cudnn.benchmark
    precision = torch.get_float32_matmul_precision()
    if modes.tuned:
        torch.backends.cudnn.benchmark = True
        # TF32 has eleven binary digits; the features multiplied by these weights have the eight of
        # bfloat16
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = searched
        torch.set_float32_matmul_precision(precision)


def losses_of(
    modes: Modes,
    network: VariationalAutoencoder,
    stretch: Stretch,
    precision: str,
    device: torch.device,
) -> StampLosses:
    """The losses for the pixels that `Batches` reads, as `modes` specify."""
    if modes.blocks:
        return block_losses(network, precision, device)
    return stamp_losses(network, stretch, precision, device)


def stamp_losses(
    network: VariationalAutoencoder,
    stretch: Stretch,
    precision: str,
    device: torch.device,
    memory_format: torch.memory_format = torch.channels_last,
) -> StampLosses:
    """A function from pixels (n, bands, size, size) and noise (n, latent) to the two losses.

    These are reconstruction error and KL divergence, each (n,).
    """

    def losses(pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        stamps = stretch_tensor(pixels, stretch).contiguous(memory_format=memory_format)
        with autocast(device, precision):
            reconstruction, mean, log_variance = network(stamps, noise)
        return reconstruction_error(stamps, reconstruction), kl_divergence(mean, log_variance)

    return losses


def block_losses(
    network: VariationalAutoencoder, precision: str, device: torch.device
) -> StampLosses:
    """The same for pixels in blocks, (n, side, side, 4 bands), stretched float16 or uint8."""
    bands, size = network.architecture["bands"], network.architecture["size"]
    within = fill_channels(inside(bands, size)).to(device)

    def losses(pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        blocks = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        blocks = fill_channels(blocks)
        with autocast(device, precision):
            reconstruction, mean, log_variance = forward_blocks(network, blocks, noise)
        return block_error(blocks, reconstruction, within), kl_divergence(mean, log_variance)

    return losses


class TrainStep:
    """Computes the losses of a batch and their gradients, and makes the optimizer's step.

    `totals` (2,), float64: running sums of error and KL divergence. They stay on the device,
    because reading a number at every step would stall it.
    """

    def __init__(
        self,
        losses: StampLosses,
        optimizer: torch.optim.Optimizer,
        kl_weight: float,
        totals: Tensor,
        compiled: bool = False,
    ) -> None:
        def objective(pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            reconstruction, kl = losses(pixels, noise)
            sums = torch.stack([reconstruction.detach().sum(), kl.detach().sum()])
            return reconstruction.mean() + kl_weight * kl.mean(), sums

        self._objective = torch.compile(objective, dynamic=False) if compiled else objective
        self._optimizer = optimizer
        self._totals = totals

    def __call__(self, pixels: Tensor, noise: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss, sums = self._objective(pixels, noise)
        loss.backward()
        self._optimizer.step()
        self._totals += sums


class FixedStep(Replay):
    """A step on buffers of one batch's size, which the caller fills before each call."""

    def __init__(
        self,
        step: Callable[[Tensor, Tensor], None],
        pixels: Tensor,
        noise: Tensor,
        record: Callable[[Work], Work] | None = None,
        warm_up: Callable[[Work], None] | None = None,
    ) -> None:
        super().__init__(lambda: step(pixels, noise), record, warm_up)
        self.pixels = pixels
        self.noise = noise
