"""How usual a galaxy's inputs are: the density of the training set's inputs, and a threshold.

A flow answers whatever it is asked, far from its training set too. A mixture of Gaussians fitted
to the inputs themselves knows where that set lies; in the same closed form it gives the inputs
that were not measured, or badly, given those that were (widening.py).
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
    weights : (k,), positive, of sum 1
    means : (k, d)
    covariances : (k, d, d), positive definite
    threshold : log-density below which a galaxy counts as out of distribution
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    threshold: float

    def log_prob(self, inputs: np.ndarray) -> np.ndarray:
        """Log-density of standardised inputs (n, d), shape (n,), in nats."""
        return np.logaddexp.reduce(np.log(self.weights) + self.log_components(inputs), axis=1)

    def log_components(self, inputs: np.ndarray) -> np.ndarray:
        """Log-density of standardised inputs (n, d) under each component, (n, k)."""
        inputs = np.asarray(inputs, np.float64)
        found = np.empty((len(inputs), len(self.weights)))
        for i, (mean, whiten) in enumerate(zip(self.means, self._whitening, strict=True)):
            chi2 = np.square((inputs - mean) @ whiten).sum(axis=1)
            found[:, i] = np.log(np.diag(whiten)).sum() - 0.5 * chi2
        return found - 0.5 * inputs.shape[1] * np.log(2 * np.pi)

    def atypicality(self, inputs: np.ndarray) -> np.ndarray:
        """Nats by which the log-density of standardised inputs (n, d) is below the threshold."""
        return self.threshold - self.log_prob(inputs)

    @cached_property
    def _whitening(self) -> np.ndarray:
        """(k, d, d): upper triangular, so that (x - mean) @ it is standard normal."""
        factors = np.linalg.cholesky(self.covariances)
        return np.swapaxes(np.linalg.inv(factors), 1, 2)

    def to_tensors(self) -> dict[str, Tensor]:
        """What is stored beside the members' weights."""
        return {f"{_PREFIX}{part}": torch.from_numpy(getattr(self, part)) for part in _PARTS}

    def to_json(self) -> dict[str, Any]:
        """What is stored in a model's description."""
        return {"components": len(self.weights), "threshold": self.threshold}

    @classmethod
    def from_stored(
        cls, tensors: Mapping[str, Tensor], description: dict[str, Any] | None
    ) -> Self | None:
        """From a model's tensors and description; None of a model that was stored without."""
        if description is None:
            return None
        parts = (tensors[f"{_PREFIX}{part}"].double().numpy() for part in _PARTS)
        return cls(*parts, threshold=float(description["threshold"]))
