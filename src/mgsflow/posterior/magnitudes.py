"""Magnitudes as the training set's survey would measure them, given noisier or missing ones.

The training set's inputs have a density, a mixture of Gaussians (models/input_density.py). A
galaxy observed with more noise is a draw x of it plus the extra noise; given what was observed, x
again has a density in closed form, a mixture with other weights, means and covariances. Draws of x
are inputs that the flows were trained for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.special import ndtr

from mgsflow.core.errors import UserError
from mgsflow.core.latents import is_latent
from mgsflow.core.photometry import COLOUR, MAGNITUDE, bands_of_colour
from mgsflow.models.input_density import InputDensity
from mgsflow.models.standardise import Standardiser


@dataclass(frozen=True)
class Magnitudes:
    """The density of m magnitudes given a stamp's latents, of the training set's galaxies.

    Attributes
    ----------
    inputs : names of a model's inputs
    density : of its latents and magnitudes, in this order and in their own units, k components
    """

    inputs: list[str]
    density: InputDensity

    @classmethod
    def of(cls, inputs: list[str], density: InputDensity, scale: Standardiser) -> Self:
        """From the density of a model's standardised inputs.

        Raises UserError where an input does not follow from latents and magnitudes.
        """
        latents = [i for i, name in enumerate(inputs) if is_latent(name)]
        magnitudes = [i for i, name in enumerate(inputs) if name.startswith(MAGNITUDE)]
        _check(inputs)
        kept = np.array(latents + magnitudes)
        own = InputDensity(
            density.weights,
            density.means[:, kept] * scale.std[kept] + scale.mean[kept],
            density.covariances[:, kept][:, :, kept] * np.outer(scale.std[kept], scale.std[kept]),
            len(latents),
        )
        return cls(inputs, own)

    @property
    def bands(self) -> list[str]:
        return [name.removeprefix(MAGNITUDE) for name in self.inputs if name.startswith(MAGNITUDE)]

    @property
    def latents(self) -> list[str]:
        return [name for name in self.inputs if is_latent(name)]

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one draw takes."""
        return 2 * len(self.bands) + 1

    def draw(
        self, latents: np.ndarray, magnitudes: np.ndarray, extra: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Draws of the inputs as the training set would have them, (n, draws, inputs), float64.

        Parameters
        ----------
        latents : (n, latents)
        magnitudes : (n, m), as observed; NaN where a band is missing
        extra : (n, m), standard errors beyond the training set's; infinite where one is missing
        noise : (n, draws, noise_size), standard normal
        """
        seen = np.isfinite(magnitudes) & np.isfinite(extra)
        observed, variance = np.where(seen, magnitudes, 0.0), np.where(seen, extra**2, 1.0)
        means = self._means(latents)
        gains, log_weights = self._update(latents, means, observed, variance, seen)
        component = _choose(log_weights, ndtr(noise[..., -1]))
        row = np.arange(len(magnitudes))[:, None]
        # a draw from the prior and one of its noise, corrected by what was observed (Matheron's
        # rule; Hoffman & Ribak 1991): exact also for errors of 0, whose covariance is singular
        bands = len(self.bands)
        draws = means[row, component] + np.einsum(
            "nsij,nsj->nsi", self._factors[component], noise[..., :bands]
        )
        scatter = np.sqrt(variance)[:, None] * noise[..., bands : 2 * bands]
        residual = (observed[:, None] - draws - scatter) * seen[:, None]
        draws += np.einsum("nsij,nsj->nsi", gains[row, component], residual)
        return self._assemble(latents, draws)

    def _means(self, latents: np.ndarray) -> np.ndarray:
        """Means of the magnitudes given the latents under each component, (n, k, m)."""
        size = self.density.latents
        means = self.density.means[:, size:]
        residual = latents[:, None] - self.density.means[:, :size]
        return means + np.einsum("kij,nkj->nki", self._slopes, residual)

    def _update(
        self,
        latents: np.ndarray,
        means: np.ndarray,
        observed: np.ndarray,
        variance: np.ndarray,
        seen: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gains (n, k, m, m) of the observed bands, and log-weights (n, k) of the components.

        A missing band has the row and column of a unit matrix, and so no effect.
        """
        both = seen[:, None, :, None] & seen[:, None, None, :]
        covariance = self._covariances * both
        diagonal = np.arange(observed.shape[1])
        covariance[..., diagonal, diagonal] += variance[:, None]
        factor = np.linalg.cholesky(covariance)
        residual = (observed[:, None] - means) * seen[:, None]
        white = np.linalg.solve(factor, residual[..., None])[..., 0]
        log_weights = np.log(self.density.weights) + self._log_latents(latents)
        log_weights = log_weights - 0.5 * np.square(white).sum(axis=-1)
        log_weights -= np.log(factor[..., diagonal, diagonal]).sum(axis=-1)
        gains = (self._covariances * seen[:, None, None, :]) @ np.linalg.inv(covariance)
        return gains, log_weights

    def _log_latents(self, latents: np.ndarray) -> np.ndarray:
        if not self.density.latents:
            return np.zeros((len(latents), len(self.density.weights)))
        return self.density.log_latents(latents)

    def _assemble(self, latents: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
        """All inputs, (n, draws, inputs), from latents and from magnitudes (n, draws, m)."""
        band = {name: i for i, name in enumerate(self.bands)}
        latent = {name: i for i, name in enumerate(self.latents)}
        out = np.empty((*magnitudes.shape[:2], len(self.inputs)))
        for i, name in enumerate(self.inputs):
            if name in latent:
                out[..., i] = latents[:, None, latent[name]]
            elif name.startswith(MAGNITUDE):
                out[..., i] = magnitudes[..., band[name.removeprefix(MAGNITUDE)]]
            else:
                blue, red = bands_of_colour(name)
                out[..., i] = magnitudes[..., band[blue]] - magnitudes[..., band[red]]
        return out

    @cached_property
    def _slopes(self) -> np.ndarray:
        """Of the magnitudes on the latents, (k, m, latents)."""
        size, full = self.density.latents, self.density.covariances
        return np.swapaxes(np.linalg.solve(full[:, :size, :size], full[:, :size, size:]), 1, 2)

    @cached_property
    def _covariances(self) -> np.ndarray:
        """Of the magnitudes given the latents, (k, m, m)."""
        size, full = self.density.latents, self.density.covariances
        return full[:, size:, size:] - self._slopes @ full[:, :size, size:]

    @cached_property
    def _factors(self) -> np.ndarray:
        return np.linalg.cholesky(self._covariances)


def _check(inputs: list[str]) -> None:
    bands = {name.removeprefix(MAGNITUDE) for name in inputs if name.startswith(MAGNITUDE)}
    if not bands:
        raise UserError("the model has no magnitudes among its inputs: there is nothing to widen")
    known = (MAGNITUDE, COLOUR)
    others = [name for name in inputs if not (is_latent(name) or name.startswith(known))]
    if others:
        raise UserError(
            f"{', '.join(others)} cannot be computed from noisier magnitudes: they are fitted with "
            "the redshift, which is to be inferred. Take a variant with observed colours."
        )
    of_colours = {b for name in inputs if name.startswith(COLOUR) for b in bands_of_colour(name)}
    absent = of_colours - bands
    if absent:
        raise UserError(f"colours of {', '.join(sorted(absent))} without their magnitudes")


def _choose(log_weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Components (n, draws) by their weights (n, k), from numbers (n, draws) in [0, 1]."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    cumulative = np.cumsum(weights, axis=1)
    steps = cumulative[:, None, :-1] / cumulative[:, None, -1:]
    return (uniform[..., None] > steps).sum(axis=-1)
