"""A toy whose posterior is known, and the ways in which it is broken.

Run as a program it measures how often each way is caught, by the number of galaxies: the table in
docs/calibration.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mgsflow.evaluation.bootstrap import BootstrapOfMeans
from mgsflow.evaluation.calibration import classifier, coordinates, joint, marginal, verdict
from mgsflow.evaluation.calibration.pit import pit

TARGETS = ["log_stellar_mass", "log_sfr", "redshift", "log_black_hole_mass", "metallicity"]
ALPHA, DRAWS, NULLS = 0.01, 200, 40
# Residual correlations: O/H follows the core, mass and black hole go together.
CORRELATIONS = np.array(
    [
        [1.0, 0.4, 0.6, 0.5, 0.5],
        [0.4, 1.0, 0.3, 0.0, 0.3],
        [0.6, 0.3, 1.0, 0.3, 0.3],
        [0.5, 0.0, 0.3, 1.0, 0.2],
        [0.5, 0.3, 0.3, 0.2, 1.0],
    ]
)
SLOPES = np.array(
    [[0.9, 0.3, 0.0], [0.2, 0.9, 0.1], [0.8, 0.0, 0.4], [0.5, -0.4, 0.1], [0.6, 0.1, -0.4]]
)


@dataclass(frozen=True)
class Toy:
    """Inputs (n, 3), truths (n, 5) and draws (n, S, 5) of the exact posterior p(theta | inputs)."""

    inputs: np.ndarray
    truth: np.ndarray
    draws: np.ndarray


def toy(n: int, seed: int, draws: int = DRAWS) -> Toy:
    """Skewed residuals, correlated, whose width grows with the first input by a factor of two."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((n, 3))
    lower = np.linalg.cholesky(CORRELATIONS)
    residuals = random.standard_normal((n, draws + 1, 5)) @ lower.T
    residuals += 0.15 * (residuals**2 - 1)
    width = 0.5 * np.exp(0.3 * inputs[:, :1])
    values = (inputs @ SLOPES.T)[:, None] + width[:, None] * residuals
    return Toy(inputs, values[:, 0], values[:, 1:])


def scaled(given: Toy, factor: float) -> Toy:
    mean = given.draws.mean(axis=1, keepdims=True)
    return replace(given, draws=mean + factor * (given.draws - mean))


def shifted(given: Toy, sigmas: float) -> Toy:
    return replace(given, draws=given.draws + sigmas * given.draws.std(axis=1, keepdims=True))


def permuted(given: Toy, columns: list[int], seed: int = 1) -> Toy:
    """The draws of `columns` in another order, each for itself: marginals as they were."""
    random = np.random.default_rng(seed)
    draws = given.draws.copy()
    for column in columns:
        draws[..., column] = random.permuted(draws[..., column], axis=1)
    return replace(given, draws=draws)


def prior(given: Toy, seed: int = 2) -> Toy:
    """For everybody, truths of other galaxies of the same population."""
    n, count, _ = given.draws.shape
    others = toy(4000, seed, draws=1).truth
    chosen = np.random.default_rng(seed).integers(0, len(others), (n, count))
    return replace(given, draws=others[chosen])


BROKEN: dict[str, Callable[[Toy], Toy]] = {
    "right": lambda given: given,
    "widths x 0.7": lambda given: scaled(given, 0.7),
    "widths x 1.4": lambda given: scaled(given, 1.4),
    "shifted by 0.3 sigma": lambda given: shifted(given, 0.3),
    "correlations dropped": lambda given: permuted(given, [0, 1, 2, 3, 4]),
    "O/H unconditioned": lambda given: permuted(given, [4]),
    "prior for everybody": prior,
}


@dataclass(frozen=True)
class Findings:
    marginals: list[marginal.Marginal]
    joint: joint.Joint
    classified: classifier.Classified

    @property
    def verdicts(self) -> list[str]:
        """Of each target, then of all together."""
        alone = [verdict.of_marginal(found, ALPHA) for found in self.marginals]
        return [*alone, verdict.of_joint(self.joint, self.classified, ALPHA)]


def judge(given: Toy, seed: int = 0, nulls: int = NULLS) -> Findings:
    """All tests of the suite on a toy."""
    random = np.random.default_rng(seed)
    resamples = BootstrapOfMeans(len(given.truth), 50, seed)
    marginals = [
        marginal.examine(
            pit(given.draws[..., j], given.truth[:, j], random), given.inputs, resamples
        )
        for j in range(given.truth.shape[1])
    ]
    where = coordinates.coordinates(given.draws, given.truth, 200, random)
    together = joint.examine(given.draws, given.truth, where, resamples, random)
    classified = classifier.classify(where, given.inputs, nulls, 4000, random)
    return Findings(marginals, together, classified)


def caught(found: Findings) -> dict[str, float]:
    """By each test, whether it rejects at its share of ALPHA; `any` of all, and the verdicts'."""
    least = {
        name: min(getattr(one, f"p_{name}") for one in found.marginals)
        for name in ("bias", "width", "shape", "local")
    }
    limit = ALPHA / 4
    words = ("calibrated", "undecided")
    return {
        **{name: p * len(found.marginals) < limit for name, p in least.items()},
        "TARP": found.joint.p_tarp < limit,
        "depth": found.joint.p_depth < limit,
        "correlations": found.joint.correlation.p_value < limit,
        "L-C2ST": found.classified.p_value < limit,
        "a target": any(v not in words for v in found.verdicts[:-1]),
        "all targets": all(v not in words for v in found.verdicts[:-1]),
        "joint": found.verdicts[-1] not in words,
    }


def power(sizes: list[int], repeats: int) -> None:
    """Print, of each way of being broken, each size and each test, how often it is caught."""
    print("broken", "n", *caught(judge(toy(50, 0))), sep="\t")
    for name, breaks in BROKEN.items():
        for n in sizes:
            found = [caught(judge(breaks(toy(n, 100 + seed)), seed)) for seed in range(repeats)]
            rates = [f"{np.mean([one[key] for one in found]):.2f}" for key in found[0]]
            print(name, n, *rates, sep="\t", flush=True)


if __name__ == "__main__":
    power([int(size) for size in sys.argv[2:]], repeats=int(sys.argv[1]))
