"""Search for the draws of the prior near each galaxy, in the space of magnitudes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from mgsflow.evaluation.oracle.prior import Prior
from mgsflow.sky.simulated.camera import ZERO_POINT
from mgsflow.sky.simulated.photometry import (
    CALIBRATION,
    MODEL_SCATTER,
    PER_MAGNITUDE,
    flux_errors,
)
from mgsflow.sky.simulated.relations import Array
from mgsflow.sky.simulated.seds import SED_DIVERSITY

# Maximum distance in standard deviations. For a Gaussian in five bands, draws beyond it hold 1.1e-3
# of the weight, and here less, since the radius below is generous.
REACH = 4.5
# Radius in arcsec for which the errors are computed. Nine galaxies in ten are smaller and have
# smaller errors, so for them the reach is larger than REACH.
LARGE = 4.0


class Matcher:
    """Finds pairs of galaxies, with magnitudes (m, bands), and draws of the prior within reach."""

    def __init__(self, magnitudes: Array) -> None:
        self._magnitudes = magnitudes
        whitening = np.linalg.inv(np.linalg.cholesky(scatter(magnitudes)))
        self._whitening = whitening
        # the tree has one metric, the narrowest of all; in it other galaxies reach farther
        self._common = whitening[np.linalg.det(whitening).argmax()]
        stretch = self._common @ np.linalg.inv(whitening)
        self._radii = REACH * np.linalg.norm(stretch, ord=2, axis=(1, 2))

    def pairs(self, prior: Prior, galaxies: Array) -> tuple[Array, Array, Array]:
        """Pairs within reach: numbers from `galaxies`, rows of the prior, and distances.

        Distances are in standard deviations. Each array has the shape (pairs,).
        """
        tree = cKDTree(prior.magnitudes @ self._common.T, balanced_tree=False, compact_nodes=False)
        points = self._magnitudes[galaxies] @ self._common.T
        neighbours = tree.query_ball_point(points, self._radii[galaxies], return_sorted=False)
        each = [
            self._within(galaxy, np.asarray(rows, int), prior)
            for galaxy, rows in zip(galaxies, neighbours, strict=True)
        ]
        rows, distances = (np.concatenate(parts) for parts in zip(*each, strict=True))
        return np.repeat(galaxies, [len(part) for part, _ in each]), rows, distances

    def _within(self, galaxy: int, rows: Array, prior: Prior) -> tuple[Array, Array]:
        offset = prior.magnitudes[rows] - self._magnitudes[galaxy]
        distance = np.sqrt(((offset @ self._whitening[galaxy].T) ** 2).sum(axis=1))
        near = distance < REACH
        return rows[near], distance[near]


def scatter(magnitudes: Array) -> Array:
    """Generous covariance (m, bands, bands), mag^2, of magnitudes about the templates'."""
    fluxes = 10 ** (0.4 * (ZERO_POINT - magnitudes))
    errors = flux_errors(fluxes, np.full(len(fluxes), LARGE)) / (PER_MAGNITUDE * fluxes)
    own = errors**2 + CALIBRATION**2 + SED_DIVERSITY**2
    return own[:, :, None] * np.eye(own.shape[1]) + MODEL_SCATTER**2
