"""A linear-Gaussian toy: targets with a Gaussian prior, inputs that are the targets plus noise.

Its posterior under any Gaussian prior is known, so that one trained on a population can be
reweighted to another and compared with the exact answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from mgsflow.posterior.noise import galaxy_noise
from mgsflow.posterior.posterior import Posterior

NAMES = ["redshift", "log_stellar_mass"]
NOISE = np.diag([0.8**2, 0.5**2])  # covariance of the inputs about the targets


@dataclass(frozen=True)
class Population:
    """Redshift ~ N(mean, std^2), mass given redshift ~ N(redshift / 2, 0.6^2)."""

    mean: float = 0.0
    std: float = 1.0

    @property
    def centre(self) -> np.ndarray:
        return np.array([self.mean, self.mean / 2])

    @property
    def covariance(self) -> np.ndarray:
        variance = self.std**2
        return np.array([[variance, variance / 2], [variance / 2, variance / 4 + 0.36]])

    def draw(self, count: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Targets, a table, and inputs (count, 2)."""
        random = np.random.default_rng(seed)
        truth = random.multivariate_normal(self.centre, self.covariance, count)
        inputs = truth + random.multivariate_normal(np.zeros(2), NOISE, count)
        return pd.DataFrame(truth, columns=NAMES), inputs

    def posterior(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (n, 2) and the covariance of the exact posterior."""
        gain = self.covariance @ np.linalg.inv(self.covariance + NOISE)
        return self.centre + (
            inputs - self.centre
        ) @ gain.T, self.covariance - gain @ self.covariance

    def log_density(self, redshift: np.ndarray) -> np.ndarray:
        """Of redshift, (n, 1), in nats."""
        off = (redshift[:, 0] - self.mean) / self.std
        return -0.5 * off**2 - np.log(self.std * np.sqrt(2 * np.pi))


class ExactEnsemble:
    """The exact posterior of a population, in the place of a trained ensemble of one member."""

    targets, inputs, variant = NAMES, ["a", "b"], "toy"
    members, detects, device = (None,), False, torch.device("cpu")

    def __init__(self, population: Population) -> None:
        self.population = population

    def sample(self, inputs, numbers, share, seed):
        mean, covariance = self.population.posterior(inputs)
        noise = galaxy_noise(seed, numbers, share, 2).numpy()
        drawn = mean[:, None] + noise @ np.linalg.cholesky(covariance).T
        return torch.from_numpy(drawn[:, None].astype(np.float32))

    def log_prob(self, inputs, truth):
        mean, covariance = self.population.posterior(inputs)
        off = truth - mean
        squares = np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off)
        return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])[:, None]


def exact(population: Population) -> Posterior:
    """The posterior that a perfect training on `population` would give."""
    return Posterior([ExactEnsemble(population)])
