"""The permutation control: if the training targets are shuffled, there is nothing to learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.baselines.baselines import predictions
from mgsflow.config import Baselines
from mgsflow.core.seeds import derive_seed
from mgsflow.evaluation.leakage.lines import FAILED, PASSED, UNDECIDED, Line, line
from mgsflow.evaluation.metrics import r2

METHOD = "photometry_boosting"  # the baseline whose trees are used, here on all inputs
R2_MAX = 0.01  # maximum R2 of a method that has learnt nothing
SIGMAS = 3.0  # standard errors by which the mean over permutations may exceed R2_MAX by chance


@dataclass(frozen=True)
class Control:
    """One target: R2 of each permutation (permutations,) on `galaxies` of the test set."""

    target: str
    galaxies: int
    r2: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.r2.mean())

    @property
    def verdict(self) -> str:
        """Passed up to R2_MAX; failed above it by more than SIGMAS errors; else undecided."""
        if self.mean <= R2_MAX:
            return PASSED
        count = len(self.r2)
        error = float(self.r2.std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
        return FAILED if self.mean - SIGMAS * error > R2_MAX else UNDECIDED


def permutation_control(
    table: pd.DataFrame,
    inputs: list[str],
    targets: list[str],
    settings: Baselines,
    permutations: int,
    seed: int,
) -> list[Control]:
    """Fit to shuffled targets and predict the test set's true targets, `permutations` times.

    `table` has objid, set, `inputs` and `targets`. Each target's values are permuted among the
    galaxies that have one, separately within the training set and the validation set; the test set
    is unchanged. The fits use the code of the baselines. An R2 above zero would mean that the test
    set's truths reach the method by a way other than the relation of inputs and targets. Targets
    with too few measured galaxies are omitted.
    """
    truths = table[table["set"] == "test"].set_index("objid")[targets]
    scores: dict[str, list[float]] = {}
    for number in range(permutations):
        shuffled = _shuffled(table, targets, derive_seed(seed, "control", number))
        seed_of = derive_seed(seed, "control", number, "fit") % 2**32
        for part in predictions(shuffled, inputs, targets, METHOD, settings, seed_of):
            if part["set"].iloc[0] == "test":
                target = part["target"].iloc[0]
                truth = truths.loc[part["objid"], target].to_numpy(np.float64)
                scores.setdefault(target, []).append(r2(truth, part["prediction"].to_numpy()))
    return [
        Control(name, int(truths[name].notna().sum()), np.asarray(values))
        for name, values in scores.items()
    ]


def _shuffled(table: pd.DataFrame, targets: list[str], seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    shuffled = table.copy()
    for name in ("train", "validation"):
        for target in targets:
            rows = np.flatnonzero((table["set"] == name) & table[target].notna())
            column = shuffled.columns.get_loc(target)
            shuffled.iloc[rows, column] = table[target].to_numpy()[random.permutation(rows)]
    return shuffled


def control_lines(
    table: pd.DataFrame,
    inputs: list[str],
    targets: list[str],
    settings: Baselines,
    permutations: int,
    seed: int,
) -> list[Line]:
    """The control's lines in the report, one per target: see `permutation_control`."""
    return [
        line(
            "Permutation control",
            control.target,
            control.galaxies,
            verdict=control.verdict,
            remark=f"R2, mean and range of {permutations} permutations; passed up to {R2_MAX}",
            value=(control.mean, float(control.r2.min()), float(control.r2.max())),
        )
        for control in permutation_control(table, inputs, targets, settings, permutations, seed)
    ]
