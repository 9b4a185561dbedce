"""The smooth ratio of two densities: an exponential tilt, fitted by its likelihood.

ln r(theta) = beta . phi(theta) + constant, with phi cubic B-splines of each target and the products
of pairs. Of known targets its likelihood is that of KLIEP's log-linear form (Sugiyama et al. 2008,
AISM 60, 699; Tsuboi et al. 2009). Of targets that are known only by draws of their posteriors it is
the one that the expectation maximisation of Saerens, Latinne & Decaestecker (2002, Neural
Computation 14, 21) climbs for classes, here with a smooth tilt in place of a table of priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.preprocessing import SplineTransformer

Array = np.ndarray
FOLDS = 5
RIDGES = (3e-1, 3e-2, 3e-3, 3e-4, 3e-5)  # strengths that cross-validation chooses from
KNOTS = 5
REACH = 4.0  # standard deviations from the mean, beyond which products of pairs are constant
ITERATIONS = 200


@dataclass(frozen=True)
class Tilt:
    """ln r of targets, where r is 1 on average under the density that it is the ratio to."""

    mean: Array
    std: Array
    splines: SplineTransformer
    beta: Array
    log_norm: float

    def __call__(self, values: Array) -> Array:
        """ln r of `values` (..., targets), shape (...). Beyond the outer knots it is constant."""
        flat = values.reshape(-1, values.shape[-1])
        log_ratio = features(flat, self.mean, self.std, self.splines) @ self.beta - self.log_norm
        return log_ratio.reshape(values.shape[:-1])


def fit_tilt(old: Array, new: Array, knots: int = KNOTS, seed: int = 0) -> Tilt:
    """The ratio of the density behind `new` to that behind `old`, (m, targets).

    `new` is (n, targets), targets of another population's galaxies; or (n, draws, targets), draws
    of their posteriors under the old density: then the product of the galaxies' evidences, each the
    mean of r over its draws, is maximised. The strength of the ridge is chosen by cross-validation,
    so that r is 1 where the data do not ask for more.
    """
    new = new[:, None] if new.ndim == 2 else new
    mean, std = old.mean(axis=0), old.std(axis=0)
    splines = SplineTransformer(knots, knots="quantile", extrapolation="constant")
    splines.fit((old - mean) / std)
    phi = features(old, mean, std, splines)
    psi = features(new.reshape(-1, new.shape[-1]), mean, std, splines)
    psi = psi.reshape(*new.shape[:2], -1)
    beta = _maximise(phi, psi, _choose(phi, psi, seed))
    return Tilt(mean, std, splines, beta, _log_mean(phi @ beta))


def features(values: Array, mean: Array, std: Array, splines: SplineTransformer) -> Array:
    """phi, (n, features), of `values` (n, targets)."""
    scaled = (values - mean) / std
    reach = np.clip(scaled, -REACH, REACH)
    first, second = np.triu_indices(scaled.shape[1], k=1)
    return np.concatenate([splines.transform(scaled), reach[:, first] * reach[:, second]], axis=1)


def log_likelihood(beta: Array, phi: Array, psi: Array) -> tuple[float, Array]:
    """Mean over the new galaxies of ln of the evidence's ratio, and its gradient.

    `phi` (m, features) of the old galaxies, `psi` (n, draws, features) of the new ones' draws.
    """
    old, new = phi @ beta, psi @ beta
    share = np.exp(old - logsumexp(old))
    weights = np.exp(new - logsumexp(new, axis=1, keepdims=True))
    value = np.mean(logsumexp(new, axis=1)) - np.log(new.shape[1]) - _log_mean(old)
    gradient = np.einsum("nk,nkf->f", weights, psi) / len(psi) - share @ phi
    return float(value), gradient


def _maximise(phi: Array, psi: Array, ridge: float) -> Array:
    def loss(beta: Array) -> tuple[float, Array]:
        value, gradient = log_likelihood(beta, phi, psi)
        return 0.5 * ridge * float(beta @ beta) - value, ridge * beta - gradient

    start = np.zeros(phi.shape[1])
    options = {"maxiter": ITERATIONS}
    return minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x


def _choose(phi: Array, psi: Array, seed: int) -> float:
    """The ridge under which the galaxies left out of a fit, old and new, are most likely."""
    random = np.random.default_rng(seed)
    old, new = (random.permutation(len(part)) % FOLDS for part in (phi, psi))
    scores = [
        sum(
            log_likelihood(
                _maximise(phi[old != fold], psi[new != fold], ridge),
                phi[old == fold],
                psi[new == fold],
            )[0]
            for fold in range(FOLDS)
        )
        for ridge in RIDGES
    ]
    return RIDGES[int(np.argmax(scores))]


def _log_mean(values: Array) -> float:
    return float(logsumexp(values) - np.log(len(values)))
