"""The variational autoencoder of the stamps (paper, section 2.2).

Encoder: three convolutions (kernel 4, stride 2, padding 1), then fully connected to the mean and
the logarithm of the variance of the latent Gaussian. Decoder: fully connected, then three
transposed convolutions. With 3 bands of 160 x 160, channels 32-64-128 and 32 latent dimensions it
has 5.30 million parameters.

The loss is the squared error, summed over the pixels and bands of a stamp, plus `kl_weight` times
the KL divergence. Summed, because the paper's "mean squared" taken literally, a mean over 76,800
pixels of small numbers against a KL of order unity, lets the posterior collapse: on simulated
galaxies no latent dimension stayed active. For Gaussian noise of variance s2 a pixel the evidence
bound is error / (2 s2) + KL, so that kl_weight = 2 s2: 0.003 to 0.01 for SDSS's gri sky, stretched.
With 1 five of 32 dimensions stayed active on simulated stamps, with 0.01 all, and colours and
concentration were predicted from the latents about twice as well, at the noise's own error.

There is no batch normalisation: the latents of a galaxy, which the flows are fed with, shall
depend on that galaxy alone and on frozen weights, not on running means of other galaxies; three
convolutions train without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mgsflow.core.errors import UserError
from mgsflow.core.latents import mean_column, std_column
from mgsflow.core.quantities import Quantity
from mgsflow.models.encoders.base import describe_encoder, read_stamps, require_layout
from mgsflow.models.storage import load_model
from mgsflow.sample.shards import Layout
from mgsflow.sample.stretch import Stretch

KIND = "vae"

_KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1}
_REDUCTION = 8  # three strides of 2
_LOG_VARIANCE_RANGE = (-14.0, 6.0)  # exp() of an untrained head's outlier must not overflow


class VariationalAutoencoder(nn.Module):
    """Stamps (n, bands, size, size), stretched, to `latent` dimensions and back.

    `size` must be a multiple of 8.
    """

    def __init__(self, bands: int, size: int, latent: int, channels: list[int]) -> None:
        super().__init__()
        if size % _REDUCTION:
            raise ValueError(f"size {size} is not a multiple of {_REDUCTION}")
        self.architecture = {
            "bands": bands,
            "size": size,
            "latent": latent,
            "channels": list(channels),
        }
        first, second, third = channels
        self.shape = (third, size // _REDUCTION, size // _REDUCTION)
        flat = third * (size // _REDUCTION) ** 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(bands, first, **_KERNEL),
            nn.ReLU(),
            nn.Conv2d(first, second, **_KERNEL),
            nn.ReLU(),
            nn.Conv2d(second, third, **_KERNEL),
            nn.ReLU(),
        )
        self.head = nn.Linear(flat, 2 * latent)  # mean and log variance in one product
        self.expand = nn.Linear(latent, flat)
        self.transposed = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(third, second, **_KERNEL),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, **_KERNEL),
            nn.ReLU(),
            nn.ConvTranspose2d(first, bands, **_KERNEL),
        )

    def encode(self, stamps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(latent | stamps), each (n, latent), float32."""
        return self.latents(self.convolutions(stamps))

    def decode(self, latent: Tensor) -> Tensor:
        """Stamps (n, bands, size, size), stretched, from latents (n, latent)."""
        return self.transposed(self.expanded(latent))

    def latents(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (n, latent), float32, from the convolutions' features."""
        # bfloat16 has three digits: the latents keep float32's under autocast too
        with torch.autocast(features.device.type, enabled=False):
            return moments(self.head(features.float().flatten(1)))

    def expanded(self, latent: Tensor) -> Tensor:
        """The features that the transposed convolutions begin with, channels last."""
        features = self.expand(latent).unflatten(1, self.shape)
        return features.contiguous(memory_format=torch.channels_last)

    def forward(self, stamps: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log variance; `noise` (n, latent) is standard normal.

        latent = mean + sigma * noise, the reparameterisation of Kingma & Welling (2014).
        """
        mean, log_variance = self.encode(stamps)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        return self.decode(latent), mean, log_variance


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, each (n, latent), of the head's outputs (n, 2 latent)."""
    mean, log_variance = values.chunk(2, dim=1)
    return mean, log_variance.clamp(*_LOG_VARIANCE_RANGE)


def reconstruction_error(stamps: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum of squared errors over all pixels and bands of each image, shape (n,)."""
    return functional.mse_loss(reconstruction.float(), stamps, reduction="none").sum((1, 2, 3))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), summed over dimensions, shape (n,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


@dataclass(frozen=True)
class TrainedVae:
    """A frozen VAE with all that is needed to use it on stored stamps: a `base.Decoder`."""

    network: VariationalAutoencoder
    stretch: Stretch
    layout: Layout
    precision: str
    device: torch.device

    @property
    def columns(self) -> list[Quantity]:
        """Means, then standard deviations, of the latent dimensions."""
        dimensions = range(self.network.architecture["latent"])
        text = "of the VAE's latent dimension"
        return [
            *(Quantity(mean_column(k), "", f"Mean {text} {k}") for k in dimensions),
            *(Quantity(std_column(k), "", f"Standard deviation {text} {k}") for k in dimensions),
        ]

    def check(self, layout: Layout) -> None:
        """Raises UserError if stamps of `layout` are not such as the VAE was trained on."""
        require_layout(self.layout, layout)

    @torch.inference_mode()
    def encode(self, raw: np.ndarray) -> np.ndarray:
        """Means and standard deviations (n, 2 latent), float32, of stored stamps.

        `raw` is as shards hold it: (n, bands, size, size), float16 nanomaggies or uint8.
        """
        stamps = torch.from_numpy(self.stretch(raw)).to(
            self.device, memory_format=torch.channels_last
        )
        with autocast(self.device, self.precision):
            mean, log_variance = self.network.encode(stamps)
        return torch.cat([mean, torch.exp(0.5 * log_variance)], dim=1).cpu().numpy()

    @torch.inference_mode()
    def decode(self, means: np.ndarray) -> np.ndarray:
        """Stretched stamps (n, bands, size, size), float32, of latent means (n, latent)."""
        values = torch.from_numpy(np.asarray(means, np.float32)).to(self.device)
        return self.network.decode(values).float().cpu().contiguous().numpy()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which convolutions run in `precision`, float32 or bfloat16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def describe(network: VariationalAutoencoder, stretch: Stretch, layout: Layout) -> dict[str, Any]:
    """The part of a VAE's description that `load_vae` rebuilds it from."""
    return describe_encoder(KIND, network.architecture, layout, stretch)


def load_vae(folder: Path, device: torch.device | str = "cpu") -> TrainedVae:
    """The VAE in the folder of a model, frozen.

    Raises UserError if a file is absent or broken or they do not belong together.
    """
    weights, facts = load_model(folder)
    try:
        architecture = {k: v for k, v in facts["architecture"].items() if k != "kind"}
        network = VariationalAutoencoder(**architecture)
        network.load_state_dict(weights)
        layout, stretch = read_stamps(facts)
        precision = facts["settings"]["precision"]
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{folder}: describes no VAE ({error}). Rerun train-vae.") from None
    network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return TrainedVae(network, stretch, layout, precision, torch.device(device))
