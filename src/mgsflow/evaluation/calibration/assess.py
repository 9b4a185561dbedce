"""All findings on one variant's posteriors, as rows of the tables in `columns`."""

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
LEAST_JOINT = 10  # galaxies, for anything to be said of them jointly
_PRIOR_DRAWS = 400  # truths of others that stand for the prior in the energy score
_DENSITY_DRAWS = 400  # a galaxy, behind a kernel density


@dataclass(frozen=True)
class Assessed:
    """Posteriors to judge: `draws` (n, S, T), `truth` (n, T), `inputs` (n, p), slices (n,) each."""

    draws: np.ndarray
    truth: np.ndarray
    targets: list[str]
    inputs: np.ndarray
    slices: dict[str, np.ndarray]

    def of(self, targets: list[str]) -> Assessed:
        """The galaxies that have all of `targets`, and these alone."""
        columns = [self.targets.index(target) for target in targets]
        known = np.isfinite(self.truth[:, columns]).all(axis=1)
        return Assessed(
            self.draws[known][..., columns],
            self.truth[known][:, columns],
            targets,
            self.inputs[known],
            {name: mask[known] for name, mask in self.slices.items()},
        )


def groups_of(targets: list[str]) -> dict[str, list[str]]:
    """The targets that are judged jointly: core properties, properties with O/H, lines.

    Properties and lines are two flows' and are drawn independently of each other given the inputs:
    there is no joint posterior of both to judge.
    """
    found: dict[str, list[str]] = {}
    for name, members in GROUPS.items():
        present = [target for target in targets if target in members]
        if len(present) > 1 and present not in found.values():
            found[name] = present
    return found


def assess(given: Assessed, settings: Calibration, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of findings and of curves: each target alone, then the groups."""
    rows: list[Row] = []
    curves: list[Row] = []
    for target in given.targets:
        own = _Marginal(given.of([target]), target, settings, seed)
        rows += own.rows()
        curves += _curve(own.pit, target, "curve") + _curve(own.pit, target, "histogram")
    for name, members in groups_of(given.targets).items():
        part = given.of(members)
        if len(part.truth) < LEAST_JOINT:
            rows.append(_few(name, len(part.truth)))
            continue
        together = _Joint(part, name, settings, seed)
        rows += together.rows()
        for kind in ("tarp", "depth"):
            curves += _curve(getattr(together.found, kind), name, "curve", kind)
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


def _alpha(settings: Calibration, name: str, given: Assessed) -> float:
    """The slices share the probability of a false alarm between them."""
    return settings.alpha if name == ALL else settings.alpha / (len(given.slices) - 1)


class _Marginal:
    """One target's galaxies, with what is known of each."""

    def __init__(self, given: Assessed, target: str, settings: Calibration, seed: int) -> None:
        random = generator(seed, "calibration", target)
        self.given, self.target, self.settings = given, target, settings
        self.seed = derive_seed(seed, "calibration", target, "bootstrap")
        draws, truth = given.draws[..., 0], given.truth[:, 0]
        self.pit = pit(draws, truth, random)
        few = scores.shuffled(draws, random, _DENSITY_DRAWS)
        self.scores = {
            "crps": metrics.crps_each(draws, truth),
            "nll": scores.negative_log_density(few, truth),
            **{name: central_coverage(self.pit, level) for name, level in LEVELS.items()},
        }
        if target == "redshift":
            self.scores["cde_loss"] = scores.cde_loss(few, truth)
        self.prior = scores.crps_of_prior(truth)
        self.mean = draws.mean(axis=1, dtype=np.float64)

    def rows(self) -> list[Row]:
        return [self._row(name, mask) for name, mask in self.given.slices.items()]

    def _row(self, name: str, mask: np.ndarray) -> Row:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        found = marginal.examine(self.pit[mask], self.given.inputs[mask], resamples)
        skill = resamples.function(_skill, self.scores["crps"][mask], self.prior[mask])
        row = {
            "target": self.target,
            "slice": name,
            "verdict": verdict.of_marginal(found, _alpha(self.settings, name, self.given)),
            "informative": skill.low > 0,
            **_flat(found),
            **skill.columns("crps_skill"),
        }
        for score, values in self.scores.items():
            row |= resamples.mean(values[mask]).columns(score)
        return row | (self._photo_z(mask) if self.target == "redshift" else {})

    def _photo_z(self, mask: np.ndarray) -> Row:
        arrays = self.given.truth[mask, 0], self.mean[mask]
        row: Row = {}
        for figure in (field.name for field in fields(metrics.PhotoZ)):
            estimate = bootstrap(
                lambda t, p, figure=figure: getattr(metrics.photo_z(t, p), figure),
                arrays,
                self.settings.bootstrap,
                self.seed,
            )
            row |= estimate.columns(f"photo_z_{figure}")
        return row


class _Joint:
    """Several targets' galaxies, with what is known of each."""

    def __init__(self, given: Assessed, name: str, settings: Calibration, seed: int) -> None:
        self.random = generator(seed, "calibration", name)
        self.given, self.name, self.settings = given, name, settings
        self.seed = derive_seed(seed, "calibration", name, "bootstrap")
        self.where = coordinates(given.draws, given.truth, settings.joint_draws, self.random)
        self.found = self._examine(np.ones(len(given.truth), bool))
        self.scores, self.prior = self._scores()

    def _scores(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        spread = self.given.truth.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        truth = self.given.truth / spread
        draws = scores.shuffled(self.given.draws, self.random, self.settings.joint_draws)
        alone = [
            scores.negative_log_density(draws[..., j], self.given.truth[:, j])
            for j in range(len(spread))
        ]
        draws = draws / spread
        found = {
            "energy": scores.energy(draws, truth),
            "variogram": scores.variogram(draws, truth),
            "nll": np.sum(alone, axis=0) - copula_log_density(self.where),
        }
        others = _others(truth, self.random)
        return found, scores.energy(others, truth)

    def _examine(self, mask: np.ndarray) -> joint.Joint:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        where = Coordinates(*(getattr(self.where, name)[mask] for name in vars(self.where)))
        return joint.examine(
            self.given.draws[mask], self.given.truth[mask], where, resamples, self.random
        )

    def rows(self) -> list[Row]:
        settings = self.settings
        classified = classifier.classify(
            self.where,
            self.given.inputs,
            settings.classifier_nulls,
            settings.classifier_galaxies,
            self.random,
        )
        rows = []
        for name, mask in self.given.slices.items():
            if name == ALL:
                rows.append(self._row(name, mask, self.found, classified))
            elif mask.sum() >= LEAST_JOINT:
                unknown = classifier.Classified(*3 * [float("nan")])
                rows.append(self._row(name, mask, self._examine(mask), unknown))
        return rows

    def _row(
        self,
        name: str,
        mask: np.ndarray,
        found: joint.Joint,
        classified: classifier.Classified,
    ) -> Row:
        resamples = BootstrapOfMeans(int(mask.sum()), self.settings.bootstrap, self.seed)
        skill = resamples.function(_skill, self.scores["energy"][mask], self.prior[mask])
        pair = found.correlation
        row = {
            "target": self.name,
            "slice": name,
            "n": int(mask.sum()),
            "verdict": verdict.of_joint(found, classified, _alpha(self.settings, name, self.given)),
            "informative": skill.low > 0,
            **skill.columns("energy_skill"),
            **found.width.columns("width"),
            "p_tarp": found.p_tarp,
            "p_depth": found.p_depth,
            "p_correlation": pair.p_value,
            "p_classifier": classified.p_value,
            "pair": f"{self.given.targets[pair.first]}, {self.given.targets[pair.second]}",
            "correlation_found": pair.found,
            "correlation_claimed": pair.claimed,
            "classifier_auc": classified.auc,
            "classifier_local": classified.local,
        }
        for coverage, level in LEVELS.items():
            row |= resamples.mean(found.tarp < level).columns(coverage)
        for score, values in self.scores.items():
            row |= resamples.mean(values[mask]).columns(score)
        return row


def _others(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(n, at most 400, T): for each galaxy, truths of others."""
    n = len(truth)
    order = random.permutation(n)
    shifts = np.arange(1, min(n - 1, _PRIOR_DRAWS) + 1)
    result = np.empty((n, len(shifts), truth.shape[1]), np.float32)
    result[order] = truth[order[(np.arange(n)[:, None] + shifts) % n]]
    return result


def _skill(means: np.ndarray) -> np.ndarray:
    return 1 - means[..., 0] / np.maximum(means[..., 1], 1e-300)


def _flat(found: marginal.Marginal) -> Row:
    plain = {name: value for name, value in vars(found).items() if not isinstance(value, Estimate)}
    return plain | found.bias.columns("bias") | found.width.columns("width")
