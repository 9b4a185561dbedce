"""The density of the training set's inputs, and the thresholds of the out-of-distribution flag.

A flow gives a posterior for any inputs, even far from its training set. A mixture of Gaussians
fitted to the inputs describes where that set lies. It also has a closed form for inputs that were
not measured, or measured badly, given the others (posterior/magnitudes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

_PREFIX = "input_density."
_PARTS = ("weights", "means", "covariances")


@dataclass(frozen=True)
class InputDensity:
    """A Gaussian mixture of k components over d standardised inputs, float64.

    Attributes
    ----------
    weights : (k,), positive, with sum 1
    means : (k, d)
    covariances : (k, d, d), positive definite
    latents : number of inputs, the first ones, that are a stamp's latents
    thresholds : log-density of each factor below which a galaxy is out of distribution
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    latents: int
    thresholds: tuple[float, ...] = ()

    def log_prob(self, inputs: np.ndarray) -> np.ndarray:
        """Log-density of standardised inputs (n, d), shape (n,), in nats."""
        return self._log_mixture(np.asarray(inputs, np.float64), self._whitening)

    def log_factors(self, inputs: np.ndarray) -> np.ndarray:
        """The log-factors p(latents) and p(photometry | latents), (n, 2), or the only one, (n, 1).

        They are separate because the heavy-tailed noise of many latents would hide the information
        in the few magnitudes: whether they belong to the galaxy in the stamp.
        """
        inputs = np.asarray(inputs, np.float64)
        whole = self.log_prob(inputs)
        if self.latents in (0, inputs.shape[1]):
            return whole[:, None]
        latents = self._log_mixture(inputs[:, : self.latents], self._latents_whitening)
        return np.stack([latents, whole - latents], axis=1)

    def out_of_distribution_score(self, inputs: np.ndarray) -> np.ndarray:
        """Nats by which a log-density of standardised inputs (n, d) is below its threshold, (n,).

        The larger value of the two factors; negative if both are above their thresholds.
        """
        return (np.asarray(self.thresholds) - self.log_factors(inputs)).max(axis=1)

    def log_latents(self, latents: np.ndarray) -> np.ndarray:
        """Log-density of the latents (n, latents) alone under each component, (n, k)."""
        return self._log_components(np.asarray(latents, np.float64), self._latents_whitening)

    def _log_components(self, inputs: np.ndarray, whitening: np.ndarray) -> np.ndarray:
        """Log-density under each component of the first inputs, (n, k)."""
        size = inputs.shape[1]
        log_density = np.empty((len(inputs), len(self.weights)))
        for i, (mean, whiten) in enumerate(zip(self.means[:, :size], whitening, strict=True)):
            chi2 = np.square((inputs - mean) @ whiten).sum(axis=1)
            log_density[:, i] = np.log(np.diag(whiten)).sum() - 0.5 * chi2
        return log_density - 0.5 * size * np.log(2 * np.pi)

    def _log_mixture(self, inputs: np.ndarray, whitening: np.ndarray) -> np.ndarray:
        parts = np.log(self.weights) + self._log_components(inputs, whitening)
        return np.logaddexp.reduce(parts, axis=1)

    @cached_property
    def _whitening(self) -> np.ndarray:
        return _whiten(self.covariances)

    @cached_property
    def _latents_whitening(self) -> np.ndarray:
        return _whiten(self.covariances[:, : self.latents, : self.latents])

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors that are stored beside the members' weights."""
        return {f"{_PREFIX}{part}": torch.from_numpy(getattr(self, part)) for part in _PARTS}

    def to_json(self) -> dict[str, Any]:
        """The entries that are stored in a model's description."""
        return {
            "components": len(self.weights),
            "latents": self.latents,
            "thresholds": list(self.thresholds),
        }

    @classmethod
    def from_stored(
        cls, tensors: Mapping[str, Tensor], description: dict[str, Any] | None
    ) -> Self | None:
        """From a model's tensors and description; None if the model was stored without one."""
        if description is None:
            return None
        parts = (tensors[f"{_PREFIX}{part}"].double().numpy() for part in _PARTS)
        return cls(*parts, description["latents"], tuple(description["thresholds"]))


def _whiten(covariances: np.ndarray) -> np.ndarray:
    """Upper triangular matrices W (k, d, d) such that (x - mean) @ W is standard normal."""
    return np.swapaxes(np.linalg.inv(np.linalg.cholesky(covariances)), 1, 2)
