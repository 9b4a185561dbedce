"""The stamps in memory, and the epochs of the conditional VAE (`models.conditional_vae`)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mgsflow.config.evaluation import ConditionalVae
from mgsflow.core.errors import UserError
from mgsflow.core.progress import track
from mgsflow.core.seeds import derive_seed, generator
from mgsflow.models.conditional_vae import ConditionalVaeNetwork, oriented_by_parts, target_error
from mgsflow.models.encoders.vae import autocast
from mgsflow.sample.shards import StampSet
from mgsflow.training.loop import Losses

NAME = "train-conditional-vae"
_STRIDES = 8  # of the three convolutions: a side must be its multiple
_AT_ONCE = 256  # stamps read, or predicted


def seen_side(size: int, settings: ConditionalVae) -> int:
    """Pixels of a stamp of `size` that are seen along a side: at most `field`, in whole blocks."""
    block = _STRIDES * settings.binning
    side = min(size, settings.field) // block * block
    if not side:
        raise UserError(
            f"baselines.conditional_vae: stamps of {size} pixels have no middle of {block} to be "
            f"binned by {settings.binning} and halved three times. Lower its binning."
        )
    return side


def read_middles(stamps: StampSet, rows: np.ndarray, settings: ConditionalVae) -> Tensor:
    """The middles of the stamps at `rows`, stretched, then binned: (n, bands, side, side) float16.

    Of numbers below 3 float16 has eleven binary digits, a few hundredths of the sky's noise. All
    are in memory at once: 38 kB a stamp with the default settings, 4.8 GB of the paper's 125,000.
    Raises UserError for a pixel that is no number.
    """
    size = stamps.layout.size
    seen = seen_side(size, settings)
    start = (size - seen) // 2
    middle = slice(start, start + seen)
    side = seen // settings.binning
    out = torch.empty((len(rows), len(stamps.layout.bands), side, side), dtype=torch.float16)
    for first in track(range(0, len(rows), _AT_ONCE), f"{NAME}, batches of {_AT_ONCE} stamps read"):
        chosen = rows[first : first + _AT_ONCE]
        raw = stamps.raw(chosen)[:, :, middle, middle]
        bad = ~np.isfinite(raw).all(axis=(1, 2, 3))
        if bad.any():
            raise UserError(
                f"{NAME}: the stamp of objid {stamps.objid[chosen[bad][0]]} has pixels that are no "
                "number. Rerun the stage stamps, or leave the galaxy out of the sample."
            )
        pixels = torch.from_numpy(stamps.stretch(raw))
        out[first : first + len(chosen)] = functional.avg_pool2d(pixels, settings.binning)
    return out


class ConditionalVaeEpochs:
    """Epochs over `training`, and the error of the targets of `validation`.

    Both are stamps (n, bands, side, side) and standardised targets (n, targets), NaN where missing,
    on the device that trains. The learning rate falls to nought along a half cosine over the epochs
    that the settings allow (Loshchilov & Hutter 2017): by the epoch's number alone, so that a
    resumed training has the same.
    """

    def __init__(
        self,
        network: ConditionalVaeNetwork,
        optimizer: torch.optim.Optimizer,
        training: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        settings: ConditionalVae,
        seed: int,
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._training = training
        self._validation = validation
        self._settings = settings
        self._seed = seed
        self._device = training[0].device

    def train(self, epoch: int) -> Losses:
        """Every stamp once, in an order, orientations and a noise that the epoch's number fixes."""
        stamps, wanted = self._training
        order = generator(self._seed, NAME, "order", epoch).permutation(len(stamps))
        places = torch.from_numpy(order).to(self._device)
        noise = torch.Generator(self._device)
        noise.manual_seed(derive_seed(self._seed, NAME, "noise", epoch))
        self._set_rate(epoch)
        self._network.train()
        totals = torch.zeros(3, dtype=torch.float64, device=self._device)
        for chosen in places.split(self._settings.batch_size):
            totals += self._step(stamps[chosen].float(), wanted[chosen], noise)
        error, reconstruction, kl = (totals / len(stamps)).tolist()
        return {"train_loss": error, "reconstruction": reconstruction, "kl": kl}

    def _step(self, stamps: Tensor, wanted: Tensor, noise: torch.Generator) -> Tensor:
        """Sums of the three terms over a batch, whose gradients have been followed."""
        settings = self._settings
        stamps = oriented_by_parts(stamps) if settings.augment else _channels_last(stamps)
        drawn = torch.randn((len(stamps), self._network.free), generator=noise, device=self._device)
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._device, settings.precision):
            terms = self._network.terms(stamps, wanted, drawn)
        objective(terms, settings).mean().backward()
        self._optimizer.step()
        return torch.stack([term.detach().sum() for term in terms]).double()

    def _set_rate(self, epoch: int) -> None:
        share = 0.5 * (1 + math.cos(math.pi * (epoch - 1) / self._settings.epochs))
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * share

    @torch.inference_mode()
    def validate(self) -> Losses:
        """Squared error of the targets, a galaxy's mean: predictions are what the VAE is for."""
        stamps, wanted = self._validation
        self._network.eval()
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for part, goal in zip(stamps.split(_AT_ONCE), wanted.split(_AT_ONCE), strict=True):
            with autocast(self._device, self._settings.precision):
                predicted = self._network.predict(_channels_last(part.float()))
            total += target_error(predicted, goal).sum()
        return {"validation_loss": float(total / len(stamps))}


def objective(terms: tuple[Tensor, Tensor, Tensor], settings: ConditionalVae) -> Tensor:
    """The loss of each galaxy, (n,), from `ConditionalVaeNetwork.terms`."""
    error, reconstruction, kl = terms
    bound = reconstruction + settings.kl_weight * kl
    return error + settings.reconstruction_weight * bound


@torch.inference_mode()
def predict(network: ConditionalVaeNetwork, stamps: Tensor, settings: ConditionalVae) -> np.ndarray:
    """Standardised targets (n, targets), float32, of stamps on the network's device.

    With `augment` they are means over the eight orientations, one of which was seen an epoch.
    """
    network.eval()
    of = network.predict_oriented if settings.augment else network.predict
    parts = []
    for part in stamps.split(_AT_ONCE):
        with autocast(stamps.device, settings.precision):
            parts.append(of(_channels_last(part.float())).cpu().numpy())
    return np.concatenate(parts)


def _channels_last(stamps: Tensor) -> Tensor:
    return stamps.contiguous(memory_format=torch.channels_last)
