"""The methods behind Table 1's baselines: MLP, nearest neighbours, boosted trees."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from mgsflow.config import Baselines
from mgsflow.models.embedding import common_scale
from mgsflow.models.standardise import Standardiser

_PATIENCE = 15  # epochs or trees without a better validation loss before a training ends
_BATCH = 128


@dataclass(frozen=True)
class Data:
    """Inputs (n, columns) and targets (n, targets) of one set; NaN is a missing target."""

    inputs: np.ndarray
    targets: np.ndarray


# Predicts targets (n, targets) from inputs (n, columns), both in their own units.
Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[Data, Data, Baselines, int], Predict]


def _fit_photometry_mlp(train: Data, validation: Data, settings: Baselines, seed: int) -> Predict:
    return _fit_mlp(Standardiser.fit(train.inputs), train, validation, settings, seed)


def _fit_image_mlp(train: Data, validation: Data, settings: Baselines, seed: int) -> Predict:
    return _fit_mlp(common_scale(train.inputs), train, validation, settings, seed)


def _fit_mlp(
    scale_in: Standardiser, train: Data, validation: Data, settings: Baselines, seed: int
) -> Predict:
    """A multi-output MLP, Adam, kept as it was at its least loss on the validation set.

    scikit-learn's own early stopping would set aside a part of the training set.
    """
    scale_out = Standardiser.fit(train.targets)
    inputs, wanted = scale_in.apply(train.inputs), scale_out.apply(train.targets)
    inputs_validation = scale_in.apply(validation.inputs)
    wanted_validation = scale_out.apply(validation.targets)
    model = MLPRegressor(
        hidden_layer_sizes=settings.mlp_hidden,
        batch_size=min(_BATCH, len(inputs)),
        random_state=seed,
    )
    best, best_loss, since = model, np.inf, 0
    for _ in range(settings.mlp_epochs):
        with flushed_denormals():
            model.partial_fit(inputs, _ravel(wanted))  # one pass through the training set
        predicted = model.predict(inputs_validation).reshape(wanted_validation.shape)
        loss = float(np.mean((predicted - wanted_validation) ** 2))
        since += 1
        if loss < best_loss:
            best, best_loss, since = copy.deepcopy(model), loss, 0
        if since >= _PATIENCE:
            break
    outputs = train.targets.shape[1]
    return lambda x: scale_out.invert(best.predict(scale_in.apply(x)).reshape(len(x), outputs))


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """In which numbers below the least normal one, 1e-38 in float32, are 0 on this thread.

    The penalty draws the weights of a unit that is never active there in some 2000 steps, and a
    processor takes eight times as long over a step of such numbers.
    """
    import torch  # a second and 200 MB, which the trees of the leakage report need not

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _fit_knn(train: Data, validation: Data, settings: Baselines, seed: int) -> Predict:
    """Mean of the nearest training galaxies, weighted by inverse distance.

    The latents keep their own scales: see `common_scale`.
    """
    model = KNeighborsRegressor(
        min(settings.neighbours, len(train.inputs)), weights="distance", algorithm="brute"
    )
    model.fit(train.inputs, train.targets)
    return model.predict


def _fit_boosting(train: Data, validation: Data, settings: Baselines, seed: int) -> Predict:
    """Histogram gradient boosting, one model a target, with as many trees as validate best."""
    models = []
    for wanted, wanted_validation in zip(train.targets.T, validation.targets.T, strict=True):
        model = HistGradientBoostingRegressor(
            max_iter=settings.boosting_iterations,
            early_stopping=True,
            n_iter_no_change=_PATIENCE,
            random_state=seed,
        )
        models.append(
            model.fit(train.inputs, wanted, X_val=validation.inputs, y_val=wanted_validation)
        )
    return lambda x: np.stack([_predict_with_best(model, x) for model in models], axis=1)


def _predict_with_best(model: HistGradientBoostingRegressor, inputs: np.ndarray) -> np.ndarray:
    """Without the trees after the best, which early stopping needs to know that it was the best."""
    trees = max(int(np.argmax(model.validation_score_)), 1)
    return next(itertools.islice(model.staged_predict(inputs), trees - 1, None))


def _ravel(targets: np.ndarray) -> np.ndarray:
    """scikit-learn wants a lone target as a vector."""
    return targets[:, 0] if targets.shape[1] == 1 else targets


# The method of each baseline: fitted to the training set, stopped by the validation set.
FITS: dict[str, Fit] = {
    "photometry_mlp": _fit_photometry_mlp,
    "image_mlp": _fit_image_mlp,
    "image_knn": _fit_knn,
    "photometry_boosting": _fit_boosting,
    "photometry_boosting_sky": _fit_boosting,
}
