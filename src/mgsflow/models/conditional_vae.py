"""The conditional VAE, a baseline: a VAE of stamps whose first latent dimensions are the targets.

Gagliano & Villar (2023, arXiv:2312.16687) train a convolutional VAE to whose loss they add a
squared error, which holds latent dimensions to a galaxy's redshift, stellar mass and star formation
rate; the KL divergence bounds the dimensions that are left free. The paper calls it a conditional
VAE, which its decoder is: stamps given the targets and a free latent. Prediction is the encoder's
mean.

With targets y, free latents w and stamps x the loss of a galaxy is

    sum over measured targets of (mean_y(x) - y)^2
        + reconstruction_weight * (sum over pixels of (decoder(mean_y, w) - x)^2
                                   + kl_weight * KL(q(w | x), N(0, 1))),

of which the bracket is our VAE's own loss (`models.encoders.vae`). Targets are standardised; a
missing one has no term. They sample the first dimensions as well, without a bound on their width;
here the decoder takes their means, which is the limit that a free width goes to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mgsflow.models.encoders.vae import VariationalAutoencoder, kl_divergence, reconstruction_error

ORIENTATIONS = 8  # of a square: four quarter turns, mirrored or not


class ConditionalVaeNetwork(VariationalAutoencoder):
    """Stamps (n, bands, size, size), stretched, to `targets` predictions and `free` latents."""

    def __init__(self, bands: int, size: int, targets: int, free: int, channels: list[int]) -> None:
        super().__init__(bands, size, targets + free, channels)
        del self.architecture["latent"]
        self.architecture |= {"targets": targets, "free": free}
        self.targets = targets
        self.free = free

    def predict(self, stamps: Tensor) -> Tensor:
        """Targets (n, targets), standardised, of stamps in the orientation that they have."""
        return self.encode(stamps)[0][:, : self.targets]

    def predict_oriented(self, stamps: Tensor) -> Tensor:
        """Mean of `predict` over the eight orientations, none of which a galaxy prefers."""
        every = [self.predict(oriented(stamps, number)) for number in range(ORIENTATIONS)]
        return torch.stack(every).mean(0)

    def terms(self, stamps: Tensor, wanted: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared errors of targets and of stamps, and KL divergence: each (n,), float32.

        `wanted` (n, targets), standardised, has NaN where a target is missing; `noise` (n, free) is
        standard normal.
        """
        mean, log_variance = self.encode(stamps)
        predicted, centre = mean[:, : self.targets], mean[:, self.targets :]
        log_variance = log_variance[:, self.targets :]
        drawn = centre + torch.exp(0.5 * log_variance) * noise
        reconstruction = self.decode(torch.cat([predicted, drawn], dim=1))
        return (
            target_error(predicted, wanted),
            reconstruction_error(stamps, reconstruction),
            kl_divergence(centre, log_variance),
        )


def target_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Sum of squared errors over the measured targets, (n,), of (n, targets); NaN is missing."""
    # the NaN is replaced before the subtraction: after it, its gradient would be NaN in spite of 0
    known = torch.isfinite(wanted)
    return ((predicted - torch.where(known, wanted, predicted.detach())) * known).square().sum(1)


def oriented(stamps: Tensor, number: int) -> Tensor:
    """Stamps (n, bands, size, size) in one of the eight orientations; 0 leaves them as they are."""
    mirrored = stamps.flip(-1) if number >= ORIENTATIONS // 2 else stamps
    turned = torch.rot90(mirrored, number % (ORIENTATIONS // 2), (-2, -1))
    return turned.contiguous(memory_format=torch.channels_last)


def oriented_by_parts(stamps: Tensor) -> Tensor:
    """The eighths of a batch in the eight orientations.

    The stamps of a shuffled batch so come in one drawn at random, at the price of eight copies.
    """
    parts = stamps.chunk(ORIENTATIONS)
    return torch.cat([oriented(part, number) for number, part in enumerate(parts)])
