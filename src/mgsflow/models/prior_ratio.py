"""From the training set's population to another: weights of draws under label shift.

A posterior has the training set's population as its prior. Galaxies of another population have
others, and the way from one to the other is short where the shift is a **label shift**: the
population differs in some targets, and galaxies that agree in these look alike, p(x | theta) being
the same. Then p_new(theta | x) is proportional to r(theta) p(theta | x) with
r = p_new(theta) / p_train(theta), and draws need but weights. Where the galaxies differ in
something else (dust, noise, calibration, another kind), no weights on these targets help.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from mgsflow.core.errors import UserError
from mgsflow.models.tilt import fit_tilt

Array = np.ndarray
MOST = 5000  # galaxies of each side, and
MOST_DRAWS = 32  # draws of each galaxy, that a ratio is fitted to
LEAST = 50  # galaxies of each side
BROADER = 1.3  # than the training set: the Gaussian that its density is a tilt of
REFERENCES, DENSITY_KNOTS = 5000, 10
OUTSIDE = 0.05  # share of the new galaxies beyond the training set's range that is warned of


class PriorRatio:
    """r = p_new(theta) / p_train(theta) of some `targets`, by name.

    Make one of what is known of the new population: `of_sample` of its targets, `of_density` of
    its density, or `of_draws` of nothing but its inputs.
    """

    def __init__(self, targets: Sequence[str], log_ratio: Callable[[Array], Array]) -> None:
        """`log_ratio` takes values (..., targets) to ln r of shape (...), up to a constant."""
        self.targets = list(targets)
        self._log_ratio = log_ratio

    @classmethod
    def of_sample(cls, train: pd.DataFrame, new: pd.DataFrame, targets: Sequence[str]) -> Self:
        """From targets of the new population's galaxies, such as a spectroscopic subsample's.

        `train` are the training set's galaxies. Rows with a NaN among `targets` do not count.
        """
        old, other = _values(train, targets, "train"), _values(new, targets, "new")
        outside = ((other < old.min(axis=0)) | (other > old.max(axis=0))).any(axis=1).mean()
        if outside > OUTSIDE:
            warnings.warn(
                f"{outside:.0%} of the new galaxies lie beyond the training set's range in "
                f"{', '.join(targets)}: no weights can bring the posteriors there",
                stacklevel=2,
            )
        return cls(targets, fit_tilt(old, other))

    @classmethod
    def of_density(
        cls,
        train: pd.DataFrame,
        log_density: Callable[[Array], Array],
        targets: Sequence[str],
        seed: int = 0,
    ) -> Self:
        """From the new population's `log_density`, values (n, targets) to (n,), up to a constant.

        The training set's own density is estimated as a tilt of a Gaussian, a little broader than
        it: good for few targets and smooth densities.
        """
        old = _values(train, targets, "train")
        centre, covariance = old.mean(axis=0), BROADER**2 * np.atleast_2d(np.cov(old.T))
        random = np.random.default_rng(seed)
        reference = random.multivariate_normal(centre, covariance, REFERENCES)
        tilt, precision = fit_tilt(reference, old, DENSITY_KNOTS), np.linalg.inv(covariance)

        def log_ratio(values: Array) -> Array:
            off = values - centre
            trained = tilt(values) - 0.5 * np.einsum("...i,ij,...j", off, precision, off)
            flat = values.reshape(-1, values.shape[-1])
            return np.asarray(log_density(flat)).reshape(values.shape[:-1]) - trained

        return cls(targets, log_ratio)

    @classmethod
    def of_draws(
        cls,
        train: pd.DataFrame,
        draws: Array,
        names: Sequence[str],
        targets: Sequence[str],
    ) -> Self:
        """From draws of the posteriors of the new galaxies, (n, draws, names): no truth is needed.

        The ratio under which the new inputs are most likely (see `mgsflow.models.tilt`). Draws are
        those of the posterior as trained, which must be calibrated on the training population.
        What the inputs hardly tell, this cannot either: then the ratio stays near 1.
        """
        old = _values(train, targets, "train")
        if len(draws) < LEAST:
            raise UserError(
                f"draws: of {len(draws)} galaxies no population can be estimated; give at least "
                f"{LEAST}, or a sample of its targets to PriorRatio.of_sample."
            )
        chosen = draws[_spaced(len(draws), MOST)][:, _spaced(draws.shape[1], MOST_DRAWS)]
        return cls(targets, fit_tilt(old, _columns(chosen, names, targets)))

    def log_ratio(self, draws: Array, names: Sequence[str]) -> Array:
        """ln r of values whose last axis are the targets `names`, float64, without that axis."""
        return self._log_ratio(_columns(draws, names, self.targets))

    def weights(self, draws: Array, names: Sequence[str]) -> Array:
        """Weights of `draws` (n, draws, names): (n, draws), float64, of each galaxy 1 in sum."""
        log_ratio = self.log_ratio(draws, names)
        return np.exp(log_ratio - logsumexp(log_ratio, axis=1, keepdims=True))


def effective_sizes(weights: Array) -> Array:
    """Kish's effective number of draws, (n,), of `weights` (n, draws) with a sum of 1."""
    return 1.0 / np.square(weights).sum(axis=1)


def resample(draws: Array, weights: Array, count: int, uniform: Array) -> Array:
    """`count` of each galaxy's `draws` (n, pool, ...) by their weights, systematically.

    `uniform` (n,) in [0, 1) is each galaxy's chance (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1).
    """
    steps = (uniform[:, None] + np.arange(count)) / count
    cumulative = np.cumsum(weights, axis=1)
    # one search for all galaxies: galaxy i's steps lie between i and i + 1
    cumulative = np.minimum(cumulative / cumulative[:, -1:], 1.0) + np.arange(len(draws))[:, None]
    flat = np.searchsorted(cumulative.ravel(), (steps + np.arange(len(draws))[:, None]).ravel())
    pool = draws.shape[1]
    rows = np.repeat(np.arange(len(draws)), count)
    picked = np.clip(flat - rows * pool, 0, pool - 1)
    return draws[rows, picked].reshape(len(draws), count, *draws.shape[2:])


def _values(table: pd.DataFrame, targets: Sequence[str], what: str) -> Array:
    absent = [name for name in targets if name not in table]
    if absent or not targets:
        raise UserError(f"{what}: no column {', '.join(absent) or 'named'}; it has {list(table)}")
    values = table[list(targets)].dropna().to_numpy(np.float64)
    if len(values) < LEAST:
        raise UserError(
            f"{what}: {len(values)} galaxies have {', '.join(targets)}; a population needs at "
            f"least {LEAST} of them"
        )
    return values[_spaced(len(values), MOST)]


def _columns(draws: Array, names: Sequence[str], targets: Sequence[str]) -> Array:
    absent = [name for name in targets if name not in names]
    if absent:
        raise UserError(f"the posterior does not infer {', '.join(absent)}, only {list(names)}")
    return np.asarray(draws, np.float64)[..., [list(names).index(name) for name in targets]]


def _spaced(count: int, most: int) -> Array:
    """At most `most` of `count` rows, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
