"""Whether other galaxies are distributed as those of the training set: a prior-shift warning.

A posterior has the training set's population as its prior. Where the inputs of other galaxies are
distributed otherwise, so, as a rule, is what is inferred of them, and the posterior is no longer
calibrated.
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

AUC_MAX = 0.55  # two Gaussians of equal width whose means are 0.18 sigma apart
DISTANCE_MAX = 0.10  # between two distribution functions
SIGMAS = 3.0  # beyond which an AUC is more than chance; the KS probability is that of 3 sigma too
CHANCE = 0.0027
MOST = 20_000  # galaxies of each side, as many as tell an AUC of 0.5 to 0.003
FOLDS = 5
ADVICE = "; calibration.recalibrate: prior shows what reweighting to the test population does"


@dataclass(frozen=True)
class Shift:
    """How the inputs of other galaxies differ from the training set's.

    `auc`: of a classifier that tells the two apart, 0.5 if nothing does, and `auc_error` its
    standard deviation then; `distance`: the greatest Kolmogorov-Smirnov distance of one input,
    which is `worst`, and `probability` that of so great a one by chance in any of the inputs.
    `galaxies`: of each side.
    """

    galaxies: int
    auc: float
    auc_error: float
    worst: str
    distance: float
    probability: float

    @property
    def jointly(self) -> bool:
        """Whether the inputs together are distributed otherwise: by more than a little and chance.

        A classifier that does worse than guessing has seen nothing.
        """
        return self.auc > max(AUC_MAX, 0.5 + SIGMAS * self.auc_error)

    @property
    def singly(self) -> bool:
        """Whether one of the inputs is distributed otherwise."""
        return self.distance > DISTANCE_MAX and self.probability < CHANCE


def prior_shift(train: pd.DataFrame, other: pd.DataFrame, inputs: list[str], seed: int) -> Shift:
    """Compare the `inputs` of `other` galaxies, a test set's or your own, with the training set's.

    A classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545): boosted trees, their
    probabilities out of fold, on as many galaxies of each side; and a Kolmogorov-Smirnov test of
    each input, the least probability times their number (Bonferroni). NaN with fewer than ten
    galaxies of a side.
    """
    random = np.random.default_rng(seed)
    count = min(len(train), len(other), MOST)
    if count < 2 * FOLDS:
        return Shift(count, np.nan, np.nan, "", np.nan, np.nan)
    drawn = [t.iloc[random.choice(len(t), count, replace=False)][inputs] for t in (train, other)]
    distances = [ks_2samp(*(t[name].dropna() for t in (train, other))) for name in inputs]
    worst = int(np.argmax([test.statistic for test in distances]))
    return Shift(
        galaxies=count,
        auc=_auc(pd.concat(drawn).to_numpy(np.float64), count, int(random.integers(2**31))),
        # of the Mann-Whitney statistic where the two are one
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
    """The lines of the report: the test set's inputs beside the training set's."""
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
