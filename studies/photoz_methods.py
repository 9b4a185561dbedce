"""Methods to compare photometric redshifts with: those of scikit-learn, and NPE of sbi.

Each is a function of the inputs (n, columns) and redshifts (n,) of the training rows, the inputs of
the test rows, and a seed. It tunes its settings by splits of the training rows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

INNER_FOLDS = 3
DRAWS = 1000  # per posterior

BOOSTING = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (8, 31), "max_iter": (100, 300)}
SUPPORT = {"C": (3.0, 10.0, 30.0), "gamma": (0.05, 0.1, 0.2), "epsilon": (0.05, 0.2)}
PERCEPTRONS = {"learning_rate_init": (1.0e-3, 4.0e-3)}
_REGRESSOR = "transformedtargetregressor__regressor__"


@dataclass(frozen=True)
class Predicted:
    """Predictions of a method for the test galaxies.

    `point` (n,) is the point estimate, for a posterior its mean. Only a posterior has `draws`
    (n, S) and `log_density`, a function of redshifts (n,) in nats per unit redshift.
    """

    point: np.ndarray
    draws: np.ndarray | None = None
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    chosen: dict[str, Any] = field(default_factory=dict)


def boosting(inputs: np.ndarray, redshift: np.ndarray, test: np.ndarray, seed: int) -> Predicted:
    """Histogram gradient boosting, tuned."""
    model = _tuned(HistGradientBoostingRegressor(random_state=seed % 2**32), BOOSTING, "", seed)
    model.fit(inputs, redshift)
    return Predicted(model.predict(test), chosen=_chosen(model))


def perceptrons(inputs: np.ndarray, redshift: np.ndarray, test: np.ndarray, seed: int) -> Predicted:
    """Ten MLPs on bootstrap samples, each stopped early; their learning rate is tuned."""
    one = MLPRegressor(hidden_layer_sizes=(64, 64), early_stopping=True, n_iter_no_change=15,
                       max_iter=300)  # fmt: skip
    few = _scaled(BaggingRegressor(one, 3, random_state=seed % 2**32))
    search = _tuned(few, PERCEPTRONS, f"{_REGRESSOR}estimator__", seed).fit(inputs, redshift)
    ten = _scaled(BaggingRegressor(one, 10, random_state=seed % 2**32)).set_params(
        **search.best_params_
    )
    return Predicted(ten.fit(inputs, redshift).predict(test), chosen=_chosen(search))


def support_vectors(
    inputs: np.ndarray, redshift: np.ndarray, test: np.ndarray, seed: int
) -> Predicted:
    """Support-vector regression with a Gaussian kernel; penalty, width and tube are tuned."""
    model = _tuned(_scaled(SVR()), SUPPORT, _REGRESSOR, seed).fit(inputs, redshift)
    return Predicted(model.predict(test), chosen=_chosen(model))


def _scaled(regressor: BaseEstimator) -> BaseEstimator:
    """Fit on inputs and a target scaled to mean 0 and standard deviation 1."""
    target = TransformedTargetRegressor(regressor, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), target)


def _tuned(model: BaseEstimator, grid: dict[str, tuple], prefix: str, seed: int) -> GridSearchCV:
    """Tune by the mean squared error of an inner cross-validation, then fit to all rows."""
    inner = KFold(INNER_FOLDS, shuffle=True, random_state=seed % 2**32)
    settings = {prefix + name: list(values) for name, values in grid.items()}
    return GridSearchCV(model, settings, scoring="neg_mean_squared_error", cv=inner)


def _chosen(search: GridSearchCV) -> dict[str, Any]:
    return {name.rsplit("__", 1)[-1]: value for name, value in search.best_params_.items()}


def sbi_is_there() -> bool:
    return importlib.util.find_spec("sbi") is not None


def neural_posterior(
    inputs: np.ndarray,
    redshift: np.ndarray,
    test: np.ndarray,
    seed: int,
    logarithm: bool = True,
    networks: int = 1,
) -> Predicted:
    """sbi's NPE with a neural spline flow at its documented defaults, on log z or z itself.

    Five transforms of 50 hidden features and 10 bins, inputs and parameter standardised, Adam at
    5e-4 in batches of 200, early stopping on 10% of the rows after 20 epochs without progress (sbi
    0.27). No prior bounds the density. Several `networks` give their mixture in equal parts.
    """
    import torch
    from sbi.inference import NPE
    from sbi.neural_nets import posterior_nn

    values = np.log(redshift) if logarithm else redshift
    rows, wanted = (torch.from_numpy(np.asarray(a, np.float32)) for a in (inputs, values[:, None]))
    asked, fitted, drawn, epochs = torch.from_numpy(np.asarray(test, np.float32)), [], [], []
    for number in range(networks):
        torch.manual_seed((seed + number) % 2**63)
        np.random.seed((seed + number) % 2**32)  # sbi's split of the rows
        trainer = NPE(density_estimator=posterior_nn("nsf"), show_progress_bars=False)
        fitted.append(trainer.append_simulations(wanted, rows).train().eval())
        epochs.append(int(trainer.summary["epochs_trained"][-1]))
        with torch.no_grad():
            share = -(-DRAWS // networks)
            drawn.append(fitted[-1].sample((share,), asked)[..., 0].T.numpy().astype(np.float64))
    draws = np.concatenate(drawn, axis=1)
    draws = np.exp(draws) if logarithm else draws

    def log_density(truth: np.ndarray) -> np.ndarray:
        at = np.log(truth) if logarithm else truth
        point = torch.from_numpy(np.asarray(at[None, :, None], np.float32))
        with torch.no_grad():
            each = [model.log_prob(point, asked)[0].numpy().astype(np.float64) for model in fitted]
        mixed = np.logaddexp.reduce(each, axis=0) - np.log(networks)
        return mixed - at if logarithm else mixed  # the Jacobian of log z is 1 / z

    return Predicted(draws.mean(axis=1), draws, log_density, {"epochs": epochs})
