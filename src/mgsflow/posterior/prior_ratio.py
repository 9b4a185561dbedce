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

Array = np.ndarray
MOST = 5000  # galaxies of each side, and
MOST_DRAWS = 32  # draws of each galaxy, that a ratio is fitted to
LEAST = 50  # galaxies of each side
FEW = 100.0  # effective draws, below which a galaxy's posterior is warned of
BROADER = 1.3  # than the training set: the Gaussian that its density is a tilt of
REFERENCES, DENSITY_KNOTS = 5000, 10
OUTSIDE = 0.05  # share of the new galaxies beyond the training set's range that is warned of
MARGIN = 0.5  # of the training set's range, to which a density is followed beyond it
AT_ONCE = 2**18  # values of ln r computed at once: some 17 features of each, float64


class PriorRatio:
    """r = p_new(theta) / p_train(theta) of some `targets`, by name.

    Make one of what is known of the new population: `of_sample` of its targets, `of_density` of
    its density, or `of_draws` of nothing but its inputs.
    """

    def __init__(self, targets: Sequence[str], log_ratio: Callable[[Array], Array]) -> None:
        """`log_ratio` takes values (..., targets) to ln r of shape (...), up to a constant.

        -inf is what the new population cannot be.
        """
        self.targets = list(targets)
        self._log_ratio = log_ratio

    @classmethod
    def of_sample(cls, train: pd.DataFrame, new: pd.DataFrame, targets: Sequence[str]) -> Self:
        """From targets of the new population's galaxies, such as a spectroscopic subsample's.

        `train` are the training set's galaxies. Rows with a NaN among `targets` do not count.
        """
        old, other = _values(train, targets, "train"), _values(new, targets, "new")
        _warn_outside(float(_outside(other, old).mean()), targets)
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
        it: good for few targets and smooth densities. `log_density` is also asked for values half
        the training set's range beyond it, to warn of what lies there: one that is to end, as a
        flat one, must say so by -inf.
        """
        old = _values(train, targets, "train")
        covariance = BROADER**2 * np.atleast_2d(np.cov(old.T))
        gaussian = multivariate_normal(old.mean(axis=0), covariance)
        reference = gaussian.rvs(REFERENCES, np.random.default_rng(seed)).reshape(REFERENCES, -1)
        tilt = fit_tilt(reference, old, DENSITY_KNOTS)

        def log_ratio(values: Array) -> Array:
            flat = values.reshape(-1, values.shape[-1])
            wanted = np.asarray(log_density(flat), np.float64)
            return (wanted - tilt(flat) - gaussian.logpdf(flat)).reshape(values.shape[:-1])

        _warn_outside(_share_outside(log_density, old, reference, gaussian, seed), targets)
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
        What the inputs hardly tell, this cannot either: then the ratio stays near 1. Metallicity
        is refused: the training set's is that of the galaxies where it was measured, the draws are
        of all galaxies, and that difference would pass for a shift.
        """
        if METALLICITY in targets:
            raise UserError(
                f"targets: {METALLICITY} is known of the training galaxies where it was measured "
                "and drawn for all: their difference is no shift of the population. Leave it out, "
                "or give a sample of measured ones to PriorRatio.of_sample."
            )
        old = _values(train, targets, "train")
        if len(draws) < LEAST:
            raise UserError(
                f"draws: of {len(draws)} galaxies no population can be estimated; give at least "
                f"{LEAST}, or a sample of its targets to PriorRatio.of_sample."
            )
        chosen = draws[_spaced(len(draws), MOST)][:, _spaced(draws.shape[1], MOST_DRAWS)]
        new = _columns(chosen, names, targets)
        _warn_outside(float(_outside(new, old).mean()), targets)
        return cls(targets, fit_tilt(old, new))

    def log_ratio(self, draws: Array, names: Sequence[str]) -> Array:
        """ln r of values whose last axis are the targets `names`, float64, without that axis.

        Raises UserError where ln r is NaN or infinite; -inf it may be.
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
        """Weights of `draws` (n, draws, names): (n, draws), float64, of each galaxy 1 in sum.

        NaN for a galaxy none of whose draws the new population can have.
        """
        return normalised(self.log_ratio(draws, names))[0]


def normalised(log_ratio: Array) -> tuple[Array, Array]:
    """Weights of a sum of 1, (n, draws), and ln of the mean of r, (n,), of ln r (n, draws).

    Where r is 0 for all draws of a galaxy the weights are NaN and ln of the mean is -inf.
    """
    total = logsumexp(log_ratio, axis=1)
    known = np.where(np.isfinite(total), total, np.nan)
    return np.exp(log_ratio - known[:, None]), total - np.log(log_ratio.shape[1])


def effective_sizes(weights: Array) -> Array:
    """Kish's effective number of draws, (n,), of `weights` (n, draws) with a sum of 1.

    0 where the weights are NaN.
    """
    return np.nan_to_num(1.0 / np.einsum("ns,ns->n", weights, weights), nan=0.0)


def resample(draws: Array, weights: Array, count: int, uniform: Array) -> Array:
    """`count` of each galaxy's `draws` (n, pool, ...) by their weights, systematically.

    `uniform` (n,) in [0, 1) is each galaxy's chance (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1).
    Galaxies whose weights are NaN have draws of NaN; no galaxy's draws hang on another's weights.
    """
    out = np.full((len(draws), count, *draws.shape[2:]), np.nan, draws.dtype)
    for row in np.flatnonzero(np.isfinite(weights).all(axis=1)):
        cumulative = np.cumsum(weights[row])
        # below 1, so that no step is beyond the last draw with a weight, and to the right of what
        # equals it, so that none falls on a draw without
        steps = np.minimum((uniform[row] + np.arange(count)) / count, _BELOW_ONE)
        out[row] = draws[row, np.searchsorted(cumulative / cumulative[-1], steps, side="right")]
    return out


_BELOW_ONE = np.nextafter(1.0, 0.0)


def _outside(values: Array, old: Array) -> Array:
    """Whether values (..., targets) lie beyond the range of the training set's, `old`, in any."""
    return ((values < old.min(axis=0)) | (values > old.max(axis=0))).any(axis=-1)


def _share_outside(
    log_density: Callable[[Array], Array], old: Array, near: Array, gaussian: Any, seed: int
) -> float:
    """Share of a population beyond the range of `old`, by importance sampling; 1 if it has none.

    Of as many points from a box around that range as from the Gaussian, of which `near` are.
    """
    low, high = old.min(axis=0), old.max(axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    far = np.random.default_rng(derive_seed(seed, "prior ratio")).uniform(low, high, near.shape)
    points = np.concatenate([near, far])
    boxed = ((points >= low) & (points <= high)).all(axis=1)
    density = np.exp(gaussian.logpdf(points)) + boxed / np.prod(high - low)
    with np.errstate(all="ignore"):  # beyond the range a density may not even be defined
        wanted = np.asarray(log_density(points), np.float64)
    log_weight = np.where(np.isnan(wanted), -np.inf, wanted) - np.log(density)
    total = logsumexp(log_weight)
    if not np.isfinite(total):
        return 1.0
    return float(np.exp(log_weight - total)[_outside(points, old)].sum())


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
    # the columns first: a copy of all in float64 may not fit the memory
    chosen = np.asarray(draws)[..., [list(names).index(name) for name in targets]]
    return chosen.astype(np.float64)


def _spaced(count: int, most: int) -> Array:
    """At most `most` of `count` rows, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
