"""One galaxy's exact posterior: weighted draws of its targets, and their density at the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.config import Targets
from mgsflow.core.quantities import METALLICITY
from mgsflow.evaluation.oracle.density import (
    bandwidth,
    effective_size,
    log_mixture,
    log_normal,
    spread,
)
from mgsflow.evaluation.oracle.observe import Observed, as_measured
from mgsflow.sky.simulated.relations import Array

NARROWEST = 0.3  # minimum ratio of a target's spread given the others to its marginal spread


@dataclass(frozen=True)
class Exact:
    """Draws of the targets with weights (n,) that sum to 1.

    If a target's noise is Gaussian and wide, its density is the mean of the draws' own Gaussians,
    without bias; for other targets, such as the redshift, it is a kernel estimate.
    """

    observed: Observed
    weights: Array
    targets: Targets

    @property
    def effective(self) -> float:
        return effective_size(self.weights)

    @property
    def measurable(self) -> float:
        """Probability that metallicity can be measured."""
        return float(self.weights[self._known(METALLICITY)].sum())

    def sample(self, target: str) -> tuple[Array, Array]:
        """Values and weights; those of metallicity are conditional on its being measurable."""
        known = self._known(target)
        weights = self.weights[known]
        return self.observed.values[target].to_numpy()[known], weights / weights.sum()

    def given_metallicity(self) -> Exact:
        """The posterior of a galaxy that is known to have a metallicity."""
        return self._of(np.flatnonzero(self._known(METALLICITY)))

    def half(self, which: int) -> Exact:
        """Every second draw, to estimate a bias."""
        return self._of(np.arange(which, len(self.weights), 2))

    def _of(self, rows: Array) -> Exact:
        weights = self.weights[rows]
        return Exact(self.observed.of(rows), weights / weights.sum(), self.targets)

    def log_density(self, truth: pd.Series, names: list[str], widen: float = 1.0) -> float:
        """ln of the joint density of the targets `names` at `truth`, per unit of each.

        `widen` scales the smoothing kernels, but not the noise, to measure their effect.
        """
        log_kernel = np.zeros(len(self.weights))
        for name in sorted(names, key=self._smoothed):
            value = float(truth[name])
            if self._smoothed(name):
                log_kernel += self._log_smooth(name, value, log_kernel, widen)
            else:
                log_kernel += self._log_noise(name, value)
        return log_mixture(log_kernel, self.weights)

    def smoothed(self, names: list[str]) -> bool:
        """Whether the density of `names` needs a smoothing kernel."""
        return any(map(self._smoothed, names))

    def _smoothed(self, name: str) -> bool:
        return name not in self.observed.kernels

    def _log_noise(self, name: str, truth: float) -> Array:
        kernel = self.observed.kernels[name]
        value, jacobian = as_measured(name, np.array(truth), self.targets)
        return log_normal(value - kernel.centre, kernel.width) - np.log(kernel.kept) + jacobian

    def _log_smooth(self, name: str, truth: float, log_kernel: Array, widen: float) -> Array:
        """A kernel whose width follows from the draws weighted by the other targets' kernels.

        If these are few their spread is uncertain: at least NARROWEST times that of all draws is
        used.
        """
        values = self.observed.values[name].to_numpy()
        conditional = self.weights * np.exp(log_kernel - log_kernel.max())
        conditional = conditional / conditional.sum()
        width = max(spread(values, conditional), NARROWEST * spread(values, self.weights))
        width = widen * bandwidth(width, effective_size(conditional))
        return log_normal(truth - values, max(width, 1e-6))

    def _known(self, target: str) -> Array:
        return self.observed.values[target].notna().to_numpy()
