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
)
from mgsflow.evaluation.oracle.observe import Observed, as_measured
from mgsflow.sky.simulated.relations import Array


@dataclass(frozen=True)
class Exact:
    """Draws of the targets with weights (n,) that sum to 1.

    Where the noise of a target is Gaussian and wide its density is the mean of the draws' own
    Gaussians, without any bias; that of the redshift, whose noise is nothing, is a kernel estimate.
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
        """Values and weights, of metallicity given that it can be measured."""
        known = self._known(target)
        weights = self.weights[known]
        return self.observed.values[target].to_numpy()[known], weights / weights.sum()

    def given_measurable(self) -> Exact:
        """The posterior of a galaxy known to have a metallicity."""
        rows = np.flatnonzero(self._known(METALLICITY))
        weights = self.weights[rows]
        return Exact(self.observed.of(rows), weights / weights.sum(), self.targets)

    def half(self, which: int) -> Exact:
        """Every second draw, for an estimate's bias."""
        rows = np.arange(which, len(self.weights), 2)
        weights = self.weights[rows]
        return Exact(self.observed.of(rows), weights / weights.sum(), self.targets)

    def log_density(self, truth: pd.Series, names: list[str], widen: float = 1.0) -> float:
        """ln of the joint density of the targets `names` at `truth`, per unit of each.

        `widen` scales the redshift's kernel, to see what it does.
        """
        log_kernel = np.zeros(len(self.weights))
        for name in names:
            if name in self.observed.kernels:
                log_kernel += self._log_noise(name, float(truth[name]))
        if "redshift" in names:
            log_kernel += self._log_redshift(float(truth["redshift"]), log_kernel, widen)
        return log_mixture(log_kernel, self.weights)

    def _log_noise(self, name: str, truth: float) -> Array:
        kernel = self.observed.kernels[name]
        value, jacobian = as_measured(name, np.array(truth), self.targets)
        return log_normal(value - kernel.centre, kernel.width) - np.log(kernel.kept) + jacobian

    def _log_redshift(self, truth: float, log_kernel: Array, widen: float) -> Array:
        """Its kernel is as wide as suits the draws that the other targets leave."""
        values = self.observed.values["redshift"].to_numpy()
        given = self.weights * np.exp(log_kernel - log_kernel.max())
        width = widen * bandwidth(values, given / given.sum())
        return log_normal(truth - values, max(width, 1e-6))

    def _known(self, target: str) -> Array:
        return self.observed.values[target].notna().to_numpy()
