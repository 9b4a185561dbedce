"""Prior-shift warning: do other galaxies have the same distribution as the training set?

The prior of a posterior is the training set's population. If the inputs of other galaxies have a
different distribution, so, as a rule, do their targets, and the posterior is no longer calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from mgsflow.core.seeds import derive_seed
from mgsflow.evaluation.leakage.lines import PASSED, REPORTED, SKIPPED, Line, line

AUC_MAX = 0.55  # AUC of two Gaussians of equal width whose means are 0.18 sigma apart
DISTANCE_MAX = 0.10  # between two distribution functions
SIGMAS = 3.0  # significance that an AUC must exceed
CHANCE = 0.0027  # maximum probability of the KS test, also 3 sigma
MOST = 20_000  # maximum number of galaxies per sample, which determines an AUC of 0.5 to 0.003
FOLDS = 5
ADVICE = "; calibration.recalibrate: prior shows what reweighting to the test population does"


@dataclass(frozen=True)
class Shift:
    """How the inputs of other galaxies differ from the training set's.

    Attributes
    ----------
    galaxies : number of galaxies in each of the two samples
    auc : of a classifier that distinguishes the samples; 0.5 if they have the same distribution
    auc_error : standard deviation of the AUC if they have the same distribution
    worst : the input with the largest Kolmogorov-Smirnov distance
    distance : this distance
    probability : chance of so large a distance in any of the inputs
    """

    galaxies: int
    auc: float
    auc_error: float
    worst: str
    distance: float
    probability: float

    @property
    def jointly(self) -> bool:
        """Whether the joint distribution of the inputs differs noticeably and significantly.

        A classifier that is worse than guessing has detected no difference.
        """
        return self.auc > max(AUC_MAX, 0.5 + SIGMAS * self.auc_error)

    @property
    def singly(self) -> bool:
        """Whether the distribution of any single input differs."""
        return self.distance > DISTANCE_MAX and self.probability < CHANCE


def prior_shift(train: pd.DataFrame, other: pd.DataFrame, inputs: list[str], seed: int) -> Shift:
    """Compare the `inputs` of `other` galaxies, a test set's or your own, with the training set's.

    Two tests are made. The first is a classifier two-sample test (Lopez-Paz & Oquab 2017,
    arXiv:1610.06545), with out-of-fold probabilities of boosted trees and equally many galaxies
    from each sample. The second is a Kolmogorov-Smirnov test of each input, with the minimum
    probability multiplied by the number of inputs (Bonferroni). Results are NaN if either sample
    has fewer than ten galaxies.
    """
    random = np.random.default_rng(seed)
    count = min(len(train), len(other), MOST)
    if count < 2 * FOLDS:
        return Shift(count, np.nan, np.nan, "", np.nan, np.nan)
    samples = [t.iloc[random.choice(len(t), count, replace=False)][inputs] for t in (train, other)]
    distances = [ks_2samp(*(t[name].dropna() for t in (train, other))) for name in inputs]
    worst = int(np.argmax([test.statistic for test in distances]))
    return Shift(
        galaxies=count,
        auc=_auc(pd.concat(samples).to_numpy(np.float64), count, int(random.integers(2**31))),
        # of the Mann-Whitney statistic for equal distributions
        auc_error=float(np.sqrt((2 * count + 1) / (12 * count**2))),
        worst=inputs[worst],
        distance=float(distances[worst].statistic),
        probability=float(min(1.0, min(t.pvalue for t in distances) * len(inputs))),
    )


def _auc(values: np.ndarray, count: int, seed: int) -> float:
    whose = np.repeat([0, 1], count)
    model = HistGradientBoostingClassifier(max_iter=50, learning_rate=0.1, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    chance = cross_val_predict(model, values, whose, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(whose, chance))


def shift_lines(table: pd.DataFrame, inputs: list[str], seed: int) -> list[Line]:
    """The lines of the report that compare the test set's inputs with the training set's."""
    train, test = (table[table["set"] == name] for name in ("train", "test"))
    shift = prior_shift(train, test, inputs, derive_seed(seed, "shift"))
    check, subject = "Test inputs distributed as the training ones", "test and training"
    if not np.isfinite(shift.auc):
        return [line(check, subject, shift.galaxies, verdict=SKIPPED, remark="too few galaxies")]
    return [_joint_shift(check, subject, shift), _single_shift(check, subject, shift, len(inputs))]


def _joint_shift(check: str, subject: str, shift: Shift) -> Line:
    arm = 1.96 * shift.auc_error
    return line(
        check,
        f"{subject}, jointly",
        shift.galaxies,
        verdict=REPORTED if shift.jointly else PASSED,
        remark=f"AUC of a classifier; 0.5 if nothing tells them apart{ADVICE * shift.jointly}",
        value=(shift.auc, shift.auc - arm, shift.auc + arm),
    )


def _single_shift(check: str, subject: str, shift: Shift, inputs: int) -> Line:
    return line(
        check,
        f"{subject}, one by one",
        inputs,
        int(shift.singly),
        REPORTED if shift.singly else PASSED,
        f"greatest distance of distributions, of {shift.worst} (p = {shift.probability:.2g})",
        (shift.distance, np.nan, np.nan),
    )
