"""The flows' posterior of a galaxy compared with the exact one: moments, ranks, log-densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.config import Targets
from mgsflow.core.quantities import FLUX_OF_LINE, METALLICITY
from mgsflow.evaluation.oracle.density import (
    bandwidth,
    effective_size,
    log_mixture,
    log_normal,
    quantiles,
    rank,
    spread,
)
from mgsflow.evaluation.oracle.observe import on_atom
from mgsflow.evaluation.oracle.posterior import Exact
from mgsflow.sky.simulated.relations import Array

JOINT = "joint"
LEVELS = {"q16": 0.16, "q50": 0.50, "q84": 0.84}
# ln(1 + F) of a flux of 0.5e-17 erg/s/cm2, a third of the faintest lines' error. Fluxes below it
# count as one value, "no line": negative fluxes are clipped at 0, where the density is undefined.
FAINTEST = float(np.log1p(0.5))
WIDER = np.sqrt(2.0)  # factor of a kernel's width, which doubles its bias


@dataclass(frozen=True)
class Flow:
    """The flows' posterior of one galaxy.

    `draws` (S, targets) are in the order of `names`; `log_properties` is ln of the joint density of
    the properties at the truth, without metallicity where that was not measured.
    """

    names: list[str]
    draws: Array
    log_properties: float

    def sample(self, target: str) -> tuple[Array, Array]:
        values = self.draws[:, self.names.index(target)].astype(np.float64)
        return values, np.full(len(values), 1 / len(values))


def compare(
    objid: int,
    truth: pd.Series,
    exact: Exact,
    flow: Flow,
    random: np.random.Generator,
    least: float = 2.0,
) -> list[dict[str, object]]:
    """One row per measured target, and one for the properties jointly.

    `truth` has the galaxy's measured targets. Log-densities are in nats per unit of the target;
    `*_bias` is the estimated bias from the kernels and the finite sample. A galaxy with a
    metallicity gets neither a row for it nor the joint row if the effective sample size of the
    draws with a metallicity is below `least`.
    """
    rows = []
    measured = METALLICITY in flow.names and np.isfinite(truth[METALLICITY])
    conditioned = exact.given_metallicity() if measured else None
    thin = conditioned is not None and conditioned.effective < least
    for target in flow.names:
        value = float(truth[target])
        if np.isfinite(value) and not (target == METALLICITY and thin):
            uniform = float(random.uniform())
            row = {"objid": objid, "target": target, "truth": value, "effective": exact.effective}
            row |= _describe("exact", *_sample(exact, target), target, value, uniform)
            row |= _describe("flow", *_sample(flow, target), target, value, uniform)
            of = conditioned if target == METALLICITY and conditioned is not None else exact
            rows.append(row | _scores(of, flow, target, truth))
    joint = {} if thin else _joint(exact, conditioned, flow, truth)
    if joint:
        rows.append({"objid": objid, "target": JOINT, "effective": exact.effective} | joint)
    return rows


def _sample(of: Exact | Flow, target: str) -> tuple[Array, Array]:
    values, weights = of.sample(target)
    return _floored(values, target), weights


def _floored(values: Array, target: str) -> Array:
    """The values, with fluxes below the floor FAINTEST set to 0."""
    return np.where(values < FAINTEST, 0.0, values) if _is_line(target) else values


def _is_line(target: str) -> bool:
    return target in FLUX_OF_LINE


def _describe(
    whose: str, values: Array, weights: Array, target: str, truth: float, uniform: float
) -> dict[str, float]:
    floored = float(_floored(np.array(truth), target))
    statistics = {"mean": float(np.sum(weights * values))}
    statistics |= dict(
        zip(LEVELS, quantiles(values, weights, np.array(list(LEVELS.values()))), strict=True)
    )
    statistics["pit"] = rank(values, weights, floored, uniform)
    return {f"{whose}_{name}": value for name, value in statistics.items()}


def _scores(exact: Exact, flow: Flow, target: str, truth: pd.Series) -> dict[str, float]:
    """ln of both densities at the truth; empty if the truth lies on an atom, without a density."""
    value = float(truth[target])
    if on_atom(target, np.array(value), exact.targets):
        return {}
    theirs, their_bias = _kernel_score(*_sample(flow, target), target, value)
    if _is_line(target):
        ours, our_bias = _kernel_score(*_sample(exact, target), target, value)
    else:
        ours, our_bias = _exact_score(exact, [target], truth)
    return {
        "exact_log_density": ours,
        "exact_bias": our_bias,
        "flow_log_density": theirs,
        "flow_bias": their_bias,
    }


def _kernel_score(values: Array, weights: Array, target: str, truth: float) -> tuple[float, float]:
    """Kernel estimate of ln density at `truth`, and its bias, estimated with a wider kernel.

    For a line below the floor it is ln of the probability of lying there, the censored score of
    Diks, Panchenko & van Dijk 2011.
    """
    if _is_line(target) and truth < FAINTEST:
        return float(np.log(max(weights[values < FAINTEST].sum(), 1e-4))), 0.0
    above = values >= FAINTEST if _is_line(target) else np.ones(len(values), bool)
    if above.sum() < 2:
        return float(np.log(1e-4)), 0.0
    share = weights[above] / weights[above].sum()
    width = max(bandwidth(spread(values[above], share), effective_size(share)), 1e-6)
    narrow, wide = (
        log_mixture(log_normal(truth - values[above], w), weights[above])
        for w in (width, WIDER * width)
    )
    return narrow + float(np.log(weights[above].sum())), wide - narrow


def _exact_score(exact: Exact, names: list[str], truth: pd.Series) -> tuple[float, float]:
    """ln density and its bias, from the kernel and from taking ln of a mean over few draws.

    The latter is proportional to 1 / n: it doubles with half as many draws.
    """
    whole = exact.log_density(truth, names)
    halves = np.mean([exact.half(i).log_density(truth, names) for i in (0, 1)])
    smoothed = exact.log_density(truth, names, WIDER) - whole if exact.smoothed(names) else 0.0
    return whole, float(halves - whole + smoothed)


def _joint(
    exact: Exact, conditioned: Exact | None, flow: Flow, truth: pd.Series
) -> dict[str, float]:
    """Both joint densities by the chain rule: p(core | x) p(O/H | core, x, measurable).

    The second factor is present for galaxies with a metallicity. For these the exact posterior
    given that metallicity is measurable is `conditioned`, and the factor is p(core, O/H | x,
    measurable) / p(core | x, measurable).
    """
    core = _core(flow.names, exact.targets)
    if len(core) < 2 or any(on_atom(n, np.array(float(truth[n])), exact.targets) for n in core):
        return {}
    log_density, bias = _exact_score(exact, core, truth)
    if conditioned is not None:
        both, both_bias = _exact_score(conditioned, [*core, METALLICITY], truth)
        alone, alone_bias = _exact_score(conditioned, core, truth)
        log_density, bias = log_density + both - alone, bias + both_bias - alone_bias
    return {
        "exact_log_density": log_density,
        "exact_bias": bias,
        "flow_log_density": flow.log_properties,
        "flow_bias": 0.0,
    }


def _core(names: list[str], targets: Targets) -> list[str]:
    return [n for n in names if n in targets.properties and n != METALLICITY]
