"""The epochs of the VAE's training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgsflow.config import Vae
from mgsflow.core.seeds import derive_seed, generator
from mgsflow.models.encoders.vae import VariationalAutoencoder
from mgsflow.training.batches import Batches
from mgsflow.training.loop import Losses
from mgsflow.training.replay import on_side_stream, record_graph
from mgsflow.training.steps import (
    FixedStep,
    Modes,
    StampLosses,
    TrainStep,
    losses_of,
)

NAME = "train-vae"


def make_optimizer(
    network: VariationalAutoencoder, vae: Vae, device: torch.device
) -> torch.optim.Adam:
    """Adam (paper: learning rate 1e-4); on a GPU fused into one kernel.

    The count of steps is then on the GPU as well: a CUDA graph would not advance one on the host.
    """
    on_gpu = device.type == "cuda"
    return torch.optim.Adam(
        network.parameters(), vae.learning_rate, fused=on_gpu or None, capturable=on_gpu
    )


class VaeEpochs:
    """Epochs over `training` and the loss on `validation`, run as `modes` specify.

    Full batches run compiled and recorded, if `modes` say so. The last batch of an epoch, which may
    be smaller, runs as written. `losses`, if given, replaces the losses that follow from `modes`.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        optimizer: torch.optim.Optimizer,
        training: Batches,
        validation: Batches,
        vae: Vae,
        seed: int,
        device: torch.device,
        modes: Modes,
        losses: StampLosses | None = None,
    ) -> None:
        self._network = network
        self._training = training
        self._validation = validation
        self._vae = vae
        self._seed = seed
        self._device = device
        self._totals = torch.zeros(2, dtype=torch.float64, device=device)
        self._losses = losses or losses_of(modes, network, training.stretch, vae.precision, device)
        steps = (
            TrainStep(self._losses, optimizer, vae.kl_weight, self._totals, compiled)
            for compiled in (False, modes.compiled)
        )
        self._ragged, full = steps
        self._fixed: FixedStep | None = None
        if modes.compiled or modes.captured:
            self._fixed = FixedStep(
                full,
                training.buffer(vae.batch_size),
                torch.zeros((vae.batch_size, vae.latent), device=device),
                record_graph if modes.captured else None,
                on_side_stream if modes.captured else None,
            )

    def train(self, epoch: int) -> Losses:
        """Train on every stamp once; the epoch's number fixes the order and the noise."""
        count = len(self._training)
        order = generator(self._seed, NAME, "order", epoch).permutation(count)
        noise = self._generator("noise", epoch)
        self._network.train()
        self._totals.zero_()
        buffer = None if self._fixed is None else self._fixed.pixels
        for pixels in self._training.read(order, self._vae.batch_size, buffer):
            self._step(pixels, noise)
        reconstruction, kl = (self._totals / count).tolist()
        loss = reconstruction + self._vae.kl_weight * kl
        return {"train_loss": loss, "reconstruction": reconstruction, "kl": kl}

    def _step(self, pixels: Tensor, noise: torch.Generator) -> None:
        if self._fixed is not None and pixels is self._fixed.pixels:
            self._fixed.noise.normal_(generator=noise)
            self._fixed()
        else:
            self._ragged(pixels, self._draw(len(pixels), noise))

    @torch.inference_mode()
    def validate(self) -> Losses:
        """The loss on the validation set, with the same noise in every epoch."""
        noise = self._generator("validation")
        self._network.eval()
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        count = len(self._validation)
        for pixels in self._validation.read(np.arange(count), self._vae.batch_size):
            reconstruction, kl = self._losses(pixels, self._draw(len(pixels), noise))
            total += (reconstruction + self._vae.kl_weight * kl).sum()
        return {"validation_loss": float(total / count)}

    def _draw(self, count: int, noise: torch.Generator) -> Tensor:
        return torch.randn((count, self._vae.latent), generator=noise, device=self._device)

    def _generator(self, *names: object) -> torch.Generator:
        source = torch.Generator(self._device)
        return source.manual_seed(derive_seed(self._seed, NAME, *names))
