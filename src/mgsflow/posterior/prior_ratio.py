"""From the training set's population to another: weights of draws under label shift.

A posterior has the training set's population as its prior. The posteriors of galaxies of another
population follow from it where the shift is a **label shift**: the populations differ in the
distribution of some targets, and galaxies that agree in these look alike, p(x | theta) being the
same. Then p_new(theta | x) is proportional to r(theta) p(theta | x) with
r = p_new(theta) / p_train(theta), and it is enough to weight the draws. Where the galaxies differ
in something else (dust, noise, calibration, another kind), no weights on these targets help.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import METALLICITY
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tabular import blocks
from mgsflow.posterior.tilt import fit_tilt
from mgsflow.posterior.weights import normalised

Array = np.ndarray
MOST = 5000  # galaxies of each population that a ratio is fitted to, at most
MOST_DRAWS = 32  # draws of each galaxy that a ratio is fitted to, at most
LEAST = 50  # galaxies of each population that a fit needs
BROADER = 1.3  # width of the Gaussian whose tilt is the training set's density, over that set's
REFERENCES, DENSITY_KNOTS = 5000, 10
OUTSIDE = 0.05  # share of the new galaxies beyond the training set's range that raises a warning
MARGIN = 0.5  # how far beyond the training set's range a density is evaluated, over that range
AT_ONCE = 2**18  # values of ln r computed at once, each with about 17 features in float64


class PriorRatio:
    """r = p_new(theta) / p_train(theta) of some `targets`, by name.

    It is made from what is known of the new population: `of_sample` from targets of some of its
    galaxies, `of_density` from its density, `of_draws` from the inputs alone.
    """

    def __init__(self, targets: Sequence[str], log_ratio: Callable[[Array], Array]) -> None:
        """`log_ratio` takes values (..., targets) to ln r of shape (...), up to a constant.

        It is -inf where the new population has no galaxies.
        """
        self.targets = list(targets)
        self._log_ratio = log_ratio

    @classmethod
    def of_sample(cls, train: pd.DataFrame, new: pd.DataFrame, targets: Sequence[str]) -> Self:
        """From targets of the new population's galaxies, such as a spectroscopic subsample's.

        `train` are the training set's galaxies. Rows with a NaN among `targets` are left out.
        """
        train_values, new_values = _values(train, targets, "train"), _values(new, targets, "new")
        _warn_outside(float(_outside(new_values, train_values).mean()), targets)
        return cls(targets, fit_tilt(train_values, new_values))

    @classmethod
    def of_density(
        cls,
        train: pd.DataFrame,
        log_density: Callable[[Array], Array],
        targets: Sequence[str],
        seed: int = 0,
    ) -> Self:
        """From the new population's `log_density`, values (n, targets) to (n,), up to a constant.

        The training set's own density is estimated as a tilt of a Gaussian that is a little
        broader than it: good for few targets and smooth densities. `log_density` is also evaluated
        up to half the training set's range beyond it, to warn of galaxies there: a density with an
        edge, such as a flat one, must be -inf beyond it.
        """
        values = _values(train, targets, "train")
        covariance = BROADER**2 * np.atleast_2d(np.cov(values.T))
        gaussian = multivariate_normal(values.mean(axis=0), covariance)
        reference = gaussian.rvs(REFERENCES, np.random.default_rng(seed)).reshape(REFERENCES, -1)
        tilt = fit_tilt(reference, values, DENSITY_KNOTS)

        def log_ratio(values: Array) -> Array:
            flat = values.reshape(-1, values.shape[-1])
            log_new = np.asarray(log_density(flat), np.float64)
            return (log_new - tilt(flat) - gaussian.logpdf(flat)).reshape(values.shape[:-1])

        _warn_outside(_share_outside(log_density, values, reference, gaussian, seed), targets)
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

        The ratio under which the new inputs are most likely (see `mgsflow.posterior.tilt`). Draws
        are those of the posterior as trained, which must be calibrated on the training population.
        Where the inputs hardly constrain a target the ratio stays near 1. Metallicity is refused:
        in the training set it is that of the galaxies where it was measured, the draws are of all
        galaxies, and that difference would be taken for a shift.
        """
        if METALLICITY in targets:
            raise UserError(
                f"targets: {METALLICITY} is known of the training galaxies where it was measured "
                "and drawn for all: their difference is no shift of the population. Leave it out, "
                "or give a sample of measured ones to PriorRatio.of_sample."
            )
        train_values = _values(train, targets, "train")
        if len(draws) < LEAST:
            raise UserError(
                f"draws: of {len(draws)} galaxies no population can be estimated; give at least "
                f"{LEAST}, or a sample of its targets to PriorRatio.of_sample."
            )
        thinned = draws[_spaced(len(draws), MOST)][:, _spaced(draws.shape[1], MOST_DRAWS)]
        new_draws = _columns(thinned, names, targets)
        _warn_outside(float(_outside(new_draws, train_values).mean()), targets)
        return cls(targets, fit_tilt(train_values, new_draws))

    def log_ratio(self, draws: Array, names: Sequence[str]) -> Array:
        """ln r of values whose last axis are the targets `names`, float64, without that axis.

        Raises UserError where ln r is NaN or +inf; -inf is allowed.
        """
        flat = np.asarray(draws).reshape(-1, draws.shape[-1])
        out = np.empty(len(flat))
        for part in blocks(len(flat), AT_ONCE):
            values = _columns(flat[part], names, self.targets)
            out[part] = self._log_ratio(values)
            wrong = np.flatnonzero(np.isnan(out[part]) | (out[part] == np.inf))
            if len(wrong):
                raise UserError(
                    f"the log-ratio of {', '.join(self.targets)} is {out[part][wrong[0]]} at "
                    f"{values[wrong[0]].tolist()}: it must be a number, or -inf where the new "
                    "population has no galaxies"
                )
        return out.reshape(draws.shape[:-1])

    def weights(self, draws: Array, names: Sequence[str]) -> Array:
        """Weights of `draws` (n, draws, names): (n, draws), float64, with a sum of 1 per galaxy.

        NaN for a galaxy all of whose draws the new population excludes.
        """
        return normalised(self.log_ratio(draws, names))[0]


def _outside(values: Array, train: Array) -> Array:
    """Whether values (..., targets) lie beyond the range of the training set's in any target."""
    return ((values < train.min(axis=0)) | (values > train.max(axis=0))).any(axis=-1)


def _share_outside(
    log_density: Callable[[Array], Array], train: Array, near: Array, gaussian: Any, seed: int
) -> float:
    """Share of a population beyond the range of `train`, by importance sampling.

    The points are `near`, drawn from the Gaussian, and as many from a box around that range. 1
    where the density vanishes at all of them.
    """
    low, high = train.min(axis=0), train.max(axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    far = np.random.default_rng(derive_seed(seed, "prior ratio")).uniform(low, high, near.shape)
    points = np.concatenate([near, far])
    boxed = ((points >= low) & (points <= high)).all(axis=1)
    density = np.exp(gaussian.logpdf(points)) + boxed / np.prod(high - low)
    with np.errstate(all="ignore"):  # beyond the range a density may not even be defined
        log_new = np.asarray(log_density(points), np.float64)
    log_weight = np.where(np.isnan(log_new), -np.inf, log_new) - np.log(density)
    total = logsumexp(log_weight)
    if not np.isfinite(total):
        return 1.0
    return float(np.exp(log_weight - total)[_outside(points, train)].sum())


def _warn_outside(share: float, targets: Sequence[str]) -> None:
    if share > OUTSIDE:
        warnings.warn(
            f"{share:.0%} of the new galaxies lie beyond the training set's range in "
            f"{', '.join(targets)}: no weights can bring the posteriors there",
            stacklevel=3,
        )


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
    # the columns first: a copy of all in float64 may not fit into memory
    columns = np.asarray(draws)[..., [list(names).index(name) for name in targets]]
    return columns.astype(np.float64)


def _spaced(count: int, most: int) -> Array:
    """At most `most` of `count` rows, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
