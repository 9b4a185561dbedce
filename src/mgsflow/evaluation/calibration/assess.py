"""All tests and scores of one variant's posteriors, as rows of the tables in `columns`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mgsflow.config.evaluation import Calibration
from mgsflow.core.quantities import CORE_PROPERTIES, LINES, PROPERTIES
from mgsflow.core.seeds import derive_seed, generator
from mgsflow.evaluation import metrics
from mgsflow.evaluation.bootstrap import BootstrapOfMeans, Estimate, bootstrap
from mgsflow.evaluation.calibration import classifier, joint, marginal, verdict
from mgsflow.evaluation.calibration import proper_scores as scores
from mgsflow.evaluation.calibration.bands import Kind, band, shares
from mgsflow.evaluation.calibration.coordinates import (
    Coordinates,
    coordinates,
    copula_log_density,
)
from mgsflow.evaluation.calibration.pit import central_coverage, pit
from mgsflow.evaluation.calibration.verdict_names import ALL, UNDECIDED

Row = dict[str, Any]
LEVELS = {"coverage_68": 0.68, "coverage_95": 0.95}
GROUPS = {"core": CORE_PROPERTIES, "properties": PROPERTIES, "lines": LINES}
LEAST_JOINT = 10  # minimum number of galaxies for the joint tests
_PRIOR_DRAWS = 400  # truths of other galaxies that represent the prior in the energy score
_DENSITY_DRAWS = 400  # draws per galaxy for a kernel density


@dataclass(frozen=True)
class Posteriors:
    """Posteriors to assess: `draws` (n, S, T), `truth` (n, T), `inputs` (n, p), slices (n,)."""

    draws: np.ndarray
    truth: np.ndarray
    targets: list[str]
    inputs: np.ndarray
    slices: dict[str, np.ndarray]

    def of(self, targets: list[str]) -> Posteriors:
        """The galaxies with truths for all of `targets`, and only these targets."""
        columns = [self.targets.index(target) for target in targets]
        known = np.isfinite(self.truth[:, columns]).all(axis=1)
        return Posteriors(
            self.draws[known][..., columns],
            self.truth[known][:, columns],
            targets,
            self.inputs[known],
            {name: mask[known] for name, mask in self.slices.items()},
        )


def groups_of(targets: list[str]) -> dict[str, list[str]]:
    """The targets that are tested jointly: core properties, properties with O/H, lines.

    Properties and lines come from two flows, which are sampled independently for the same
    inputs, so there is no joint posterior of properties and lines to test.
    """
    groups: dict[str, list[str]] = {}
    for name, members in GROUPS.items():
        present = [target for target in targets if target in members]
        if len(present) > 1 and present not in groups.values():
            groups[name] = present
    return groups


def assess(posteriors: Posteriors, settings: Calibration, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of results and of curves: first each target alone, then the groups."""
    rows: list[Row] = []
    curves: list[Row] = []
    for target in posteriors.targets:
        own = _Marginal(posteriors.of([target]), target, settings, seed)
        rows += own.rows()
        curves += _curve(own.pit, target, "curve") + _curve(own.pit, target, "histogram")
    for name, members in groups_of(posteriors.targets).items():
        part = posteriors.of(members)
        if len(part.truth) < LEAST_JOINT:
            rows.append(_few(name, len(part.truth)))
            continue
        together = _Joint(part, name, settings, seed)
        rows += together.rows()
        for kind in ("tarp", "depth"):
            curves += _curve(getattr(together.findings, kind), name, "curve", kind)
    return rows, curves


def _few(name: str, n: int) -> Row:
    return {"target": name, "slice": ALL, "n": n, "verdict": UNDECIDED}


def _curve(values: np.ndarray, target: str, kind: Kind, name: str = "") -> list[Row]:
    if not len(values):
        return []
    bounds = band(len(values), kind)
    columns = zip(bounds.edges, shares(values, kind), bounds.low, bounds.high, strict=False)
    return [
        {"target": target, "kind": name or kind, "n": len(values)}
        | dict(zip(("x", "share", "low", "high"), map(float, numbers), strict=True))
        for numbers in columns
    ]


def _alpha(settings: Calibration, name: str, posteriors: Posteriors) -> float:
    """Significance level: the slices share the probability of a false alarm (Bonferroni)."""
    return settings.alpha if name == ALL else settings.alpha / (len(posteriors.slices) - 1)


class _Marginal:
    """One target: its posteriors, with the PIT and scores of each galaxy."""

    def __init__(
        self, posteriors: Posteriors, target: str, settings: Calibration, seed: int
    ) -> None:
        random = generator(seed, "calibration", target)
        self.posteriors, self.target, self.settings = posteriors, target, settings
        self.seed = derive_seed(seed, "calibration", target, "bootstrap")
        draws, truth = posteriors.draws[..., 0], posteriors.truth[:, 0]
        self.pit = pit(draws, truth, random)
        subset = scores.shuffled(draws, random, _DENSITY_DRAWS)
        self.scores = {
            "crps": metrics.crps_each(draws, truth),
            "nll": scores.negative_log_density(subset, truth),
            **{name: central_coverage(self.pit, level) for name, level in LEVELS.items()},
        }
        if target == "redshift":
            self.scores["cde_loss"] = scores.cde_loss(subset, truth)
        self.prior = scores.crps_of_prior(truth)
        self.mean = draws.mean(axis=1, dtype=np.float64)

    def rows(self) -> list[Row]:
        return [self._row(name, mask) for name, mask in self.posteriors.slices.items()]

    def _row(self, name: str, mask: np.ndarray) -> Row:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        findings = marginal.examine(self.pit[mask], self.posteriors.inputs[mask], resamples)
        skill = resamples.function(_skill, self.scores["crps"][mask], self.prior[mask])
        row = {
            "target": self.target,
            "slice": name,
            "verdict": verdict.of_marginal(findings, _alpha(self.settings, name, self.posteriors)),
            "informative": skill.low > 0,
            **_flat(findings),
            **skill.columns("crps_skill"),
        }
        for score, values in self.scores.items():
            row |= resamples.mean(values[mask]).columns(score)
        return row | (self._photo_z(mask) if self.target == "redshift" else {})

    def _photo_z(self, mask: np.ndarray) -> Row:
        arrays = self.posteriors.truth[mask, 0], self.mean[mask]
        row: Row = {}
        for name in (field.name for field in fields(metrics.PhotoZ)):
            estimate = bootstrap(
                lambda t, p, name=name: getattr(metrics.photo_z(t, p), name),
                arrays,
                self.settings.bootstrap,
                self.seed,
            )
            row |= estimate.columns(f"photo_z_{name}")
        return row


class _Joint:
    """Several targets jointly: their posteriors, with coordinates and scores of each galaxy."""

    def __init__(self, posteriors: Posteriors, name: str, settings: Calibration, seed: int) -> None:
        self.random = generator(seed, "calibration", name)
        self.posteriors, self.name, self.settings = posteriors, name, settings
        self.seed = derive_seed(seed, "calibration", name, "bootstrap")
        self.where = coordinates(
            posteriors.draws, posteriors.truth, settings.joint_draws, self.random
        )
        self.findings = self._examine(np.ones(len(posteriors.truth), bool))
        self.scores, self.prior = self._scores()

    def _scores(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        spread = self.posteriors.truth.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        truth = self.posteriors.truth / spread
        draws = scores.shuffled(self.posteriors.draws, self.random, self.settings.joint_draws)
        alone = [
            scores.negative_log_density(draws[..., j], self.posteriors.truth[:, j])
            for j in range(len(spread))
        ]
        draws = draws / spread
        scores_by_name = {
            "energy": scores.energy(draws, truth),
            "variogram": scores.variogram(draws, truth),
            "nll": np.sum(alone, axis=0) - copula_log_density(self.where),
        }
        others = _others(truth, self.random)
        return scores_by_name, scores.energy(others, truth)

    def _examine(self, mask: np.ndarray) -> joint.Joint:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        where = Coordinates(*(getattr(self.where, name)[mask] for name in vars(self.where)))
        return joint.examine(
            self.posteriors.draws[mask], self.posteriors.truth[mask], where, resamples, self.random
        )

    def rows(self) -> list[Row]:
        settings = self.settings
        classified = classifier.classify(
            self.where,
            self.posteriors.inputs,
            settings.classifier_nulls,
            settings.classifier_galaxies,
            self.random,
        )
        rows = []
        for name, mask in self.posteriors.slices.items():
            if name == ALL:
                rows.append(self._row(name, mask, self.findings, classified))
            elif mask.sum() >= LEAST_JOINT:
                unknown = classifier.Classified(*3 * [float("nan")])
                rows.append(self._row(name, mask, self._examine(mask), unknown))
        return rows

    def _row(
        self,
        name: str,
        mask: np.ndarray,
        findings: joint.Joint,
        classified: classifier.Classified,
    ) -> Row:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        skill = resamples.function(_skill, self.scores["energy"][mask], self.prior[mask])
        pair, targets = findings.correlation, self.posteriors.targets
        row = {
            "target": self.name,
            "slice": name,
            "n": int(mask.sum()),
            "verdict": verdict.of_joint(
                findings, classified, _alpha(self.settings, name, self.posteriors)
            ),
            "informative": skill.low > 0,
            **skill.columns("energy_skill"),
            **findings.width.columns("width"),
            "p_tarp": findings.p_tarp,
            "p_depth": findings.p_depth,
            "p_correlation": pair.p_value,
            "p_classifier": classified.p_value,
            "pair": f"{targets[pair.first]}, {targets[pair.second]}",
            "correlation_found": pair.observed,
            "correlation_claimed": pair.claimed,
            "classifier_auc": classified.auc,
            "classifier_local": classified.local,
        }
        for coverage, level in LEVELS.items():
            row |= resamples.mean(findings.tarp < level).columns(coverage)
        for score, values in self.scores.items():
            row |= resamples.mean(values[mask]).columns(score)
        return row


def _others(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each galaxy the truths of other galaxies, (n, at most 400, T)."""
    n = len(truth)
    order = random.permutation(n)
    shifts = np.arange(1, min(n - 1, _PRIOR_DRAWS) + 1)
    result = np.empty((n, len(shifts), truth.shape[1]), np.float32)
    result[order] = truth[order[(np.arange(n)[:, None] + shifts) % n]]
    return result


def _skill(means: np.ndarray) -> np.ndarray:
    return 1 - means[..., 0] / np.maximum(means[..., 1], 1e-300)


def _flat(findings: marginal.Marginal) -> Row:
    plain = {
        name: value for name, value in vars(findings).items() if not isinstance(value, Estimate)
    }
    return plain | findings.bias.columns("bias") | findings.width.columns("width")
