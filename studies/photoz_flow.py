"""mgsflow's own flow in studies/photometric_redshift.py, as the stage train-flow trains it.

`fit_members` with the package's settings: heads, their rescaled residuals, a spline flow, a deep
ensemble. `Posterior` draws from it and gives its density. The settings are tuned on the outer
training rows: a fifth of them is used for the score, the others for training and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from photoz_data import VARIANT, Galaxies, halve, skyserver_settings
from photoz_methods import DRAWS, Predicted

from mgsflow.config.models import Flows
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture
from mgsflow.models.standardise import Standardiser
from mgsflow.posterior.ensemble import Ensemble
from mgsflow.posterior.posterior import Posterior
from mgsflow.training.heads import Rows
from mgsflow.training.members import fit_members

VALIDATION = 0.15  # fraction of the outer training rows used for early stopping
SCORED = 0.2  # fraction of the outer training rows used to choose the settings
TUNING_MEMBERS = 1
CHANGED_MEMBERS = 2  # members of the ensembles of variations, fewer to save time
# Networks smaller than the paper's suffice for 2600 galaxies. With so few, rescaled residuals of
# the heads themselves are better than out-of-fold ones (mgsflow/training/residuals.py).
SETTINGS: dict[str, Any] = {
    "encoding": 32,
    "encoder_hidden": [64, 64],
    "head_hidden": 32,
    "coupling_hidden": 64,
    "residuals": "rescaled",
}
# The settings of tests/real/skyserver.yaml that are tuned.
GRID: tuple[dict[str, Any], ...] = (
    {"learning_rate": 2.0e-3, "batch_size": 256},
    {"learning_rate": 4.0e-3, "batch_size": 256},
    {"learning_rate": 4.0e-3, "batch_size": 256, "dropout": 0.2},
)


@dataclass(frozen=True)
class Trial:
    """A variation of the training: settings, input columns (None: all), and options."""

    flows: Flows
    columns: list[int] | None = None
    logarithm: bool = False  # the target is log z instead of z
    own_validation: bool = False  # each member has its own validation rows


@dataclass(frozen=True)
class Fitted:
    """An ensemble for the target, z or log z, and the variation by which it was trained."""

    ensemble: Ensemble
    trial: Trial

    def predict(self, inputs: np.ndarray, seed: int, members: int | None = None) -> Predicted:
        """The posterior of the first `members` members; of all by default."""
        posterior = Posterior([replace(self.ensemble, members=self.ensemble.members[:members])])
        rows, logarithm = _columns(inputs, self.trial), self.trial.logarithm
        draws = posterior.sample(rows, DRAWS, seed)[..., 0].astype(np.float64)
        draws = np.exp(draws) if logarithm else draws

        def log_density(truth: np.ndarray) -> np.ndarray:
            at = np.log(truth) if logarithm else truth
            density = posterior.log_prob(rows, at[:, None])
            return density - at if logarithm else density

        return Predicted(draws.mean(axis=1), draws, log_density)

    def heads(self, inputs: np.ndarray) -> Predicted:
        """The mean of the regression heads, without the flow."""
        means = Posterior([self.ensemble]).mean_head(_columns(inputs, self.trial))
        return Predicted(means[..., 0].mean(axis=1).astype(np.float64))


def settings_of_run(quick: bool = False) -> Flows:
    """Settings of tests/real/skyserver.yaml with SETTINGS; `quick` ones only test the script."""
    flows = skyserver_settings().flows.model_copy(update=SETTINGS)
    small = {"members": 2, "folds": 2, "epochs": 3, "encoder_hidden": [16], "encoding": 8}
    return flows.model_copy(update=small) if quick else flows


def tune(galaxies: Galaxies, rows: np.ndarray, flows: Flows, seed: int) -> dict[str, Any]:
    """The settings of GRID with the largest mean log-density on a held-out part of `rows`."""
    fitted, scored = halve(rows, SCORED, seed, "scored")
    scores = []
    for change in GRID:
        trial = Trial(flows.model_copy(update={**change, "members": TUNING_MEMBERS}))
        found = fit(galaxies, fitted, trial, derive_seed(seed, "tuning"))
        density = found.predict(galaxies.inputs[scored], seed).log_density
        assert density is not None
        scores.append(float(density(galaxies.redshift[scored]).mean()))
    return dict(GRID[int(np.argmax(scores))])


def fit(galaxies: Galaxies, rows: np.ndarray, trial: Trial, seed: int) -> Fitted:
    """An ensemble trained on `rows`, of which the fraction VALIDATION is for early stopping."""
    target = np.log(galaxies.redshift) if trial.logarithm else galaxies.redshift
    seeds = [derive_seed(seed, member) for member in range(trial.flows.members)]
    train, validation = halve(rows, VALIDATION, seed, "validation")
    scales = [Standardiser.fit(values[train]) for values in
              (_columns(galaxies.inputs, trial), target[:, None])]  # fmt: skip

    def standardised(rows: np.ndarray) -> Rows:
        values = _columns(galaxies.inputs[rows], trial), target[rows, None]
        return Rows(*(torch.from_numpy(s.apply(v)) for s, v in zip(scales, values, strict=True)))

    width = len(trial.columns) if trial.columns else len(galaxies.names)
    architecture = Architecture.of(width, ["redshift"], False, trial.flows)

    def branches(train: np.ndarray, validation: np.ndarray, seeds: Sequence[int]) -> list:
        parts = standardised(train), standardised(validation)
        return fit_members(*parts, architecture, trial.flows, seeds)[0]

    if trial.own_validation:
        divided = [halve(rows, VALIDATION, own, "validation") for own in seeds]
        members = [branches(*parts, [own])[0] for parts, own in zip(divided, seeds, strict=True)]
    else:
        members = branches(train, validation, seeds)
    names = [galaxies.names[i] for i in trial.columns or range(len(galaxies.names))]
    members = [member.eval().requires_grad_(False) for member in members]
    return Fitted(Ensemble(VARIANT, names, ["redshift"], *scales, members), trial)


def _columns(inputs: np.ndarray, trial: Trial) -> np.ndarray:
    return inputs if trial.columns is None else inputs[:, trial.columns]


def changes(galaxies: Galaxies) -> dict[str, Callable[[Flows], Trial]]:
    """Variations that each change one thing in the tuned flow, by the name of the row.

    All except the first have CHANGED_MEMBERS members.
    """

    def with_settings(**settings: Any) -> Callable[[Flows], Trial]:
        return lambda flows: Trial(flows.model_copy(update=settings))

    def fewer(make: Callable[[Flows], Trial]) -> Callable[[Flows], Trial]:
        return lambda flows: make(flows.model_copy(update={"members": CHANGED_MEMBERS}))

    untuned = Flows().model_dump(include={"learning_rate", "batch_size", "dropout"})
    few = {
        "flow, out-of-fold residuals": with_settings(residuals="out_of_fold"),
        "flow, in-sample residuals": with_settings(residuals="early_stopped"),
        "flow, affine": with_settings(single_flow="affine"),
        "flow, log z": lambda flows: Trial(flows, logarithm=True),
        "flow, magnitudes alone": lambda flows: Trial(flows, galaxies.columns("mag_")),
        "flow, colours alone": lambda flows: Trial(flows, galaxies.columns("colour_")),
        "flow, untuned": with_settings(**untuned),
    }
    own = {"flow, own validation rows": lambda flows: Trial(flows, own_validation=True)}
    return own | {name: fewer(make) for name, make in few.items()}
