"""Other methods on the same split: what Table 1's published rows are, recomputed on our galaxies.

The published baselines have other surveys' images and other definitions of SFR and metallicity;
only numbers from the same galaxies, targets and split can be compared with ours.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from mgsflow.config import Baselines, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say, track
from mgsflow.core.quantities import BANDS, Quantity
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.embedding import (
    common_scale,
    embedding_columns,
    photometry_columns,
    with_colours,
)
from mgsflow.models.inputs import magnitude_columns
from mgsflow.models.standardise import Standardiser

SETS = ("train", "validation", "test")
PHOTOMETRY_BANDS = ["r", "g", "z"]  # the bands of AstroCLIP's photometry baseline, the paper's [28]
_PATIENCE = 15  # epochs or trees without a better validation loss before a training ends
_BATCH = 128
_LEAST = 10  # training galaxies with a measured target, below which no method is trained on it

_QUANTITIES = (
    Quantity("method", "", "Baseline, as in the setting baselines.methods"),
    Quantity("set", "", "Set of the galaxy: validation or test"),
    Quantity("target", "", "Predicted quantity; its unit is that of core.quantities"),
    Quantity("prediction", "", "Prediction in the unit of the target"),
)


@dataclass(frozen=True)
class Data:
    """Inputs (n, columns) and targets (n, targets) of one set; NaN is a missing target."""

    inputs: np.ndarray
    targets: np.ndarray


# Predicts targets (n, targets) from inputs (n, columns), both in their own units.
Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[Data, Data, Baselines, int], Predict]


def baselines(
    *,
    features: Path,
    baselines: Baselines,
    targets: Targets,
    seed: int,
    out: Path,
    threads: int = 1,
) -> None:
    """Train the baselines on the flows' training set and predict the validation and test sets.

    photometry_mlp sees the r, g, z magnitudes (paper, Table 1, [28]), image_mlp and image_knn the
    latent means, photometry_boosting all magnitudes and observed colours. Trainings stop early by
    the loss on our validation set. A method whose inputs the run lacks is left out, and said so;
    a missing metallicity leaves its galaxy out of the training on metallicity alone.
    """
    names = [*targets.properties, *targets.lines]
    table = _read(features, names)
    left_out: dict[str, str] = {}
    parts = [_empty()]
    with threadpool_limits(limits=threads):
        for method in track(baselines.methods, "baselines"):
            columns, reason = _columns(method, list(table))
            if reason:
                left_out[method] = reason
                say(f"baselines: {method} is left out: {reason}")
                continue
            seed_of = derive_seed(seed, "baselines", method) % 2**32  # scikit-learn takes 32 bits
            parts += _predict(table, columns, names, method, baselines, seed_of)
    predictions = pd.concat(parts, ignore_index=True)
    write_table(out, predictions, _QUANTITIES, {"left_out": left_out})


def _read(features: Path, names: list[str]) -> pd.DataFrame:
    table = read_table(features)
    absent = sorted({"objid", "set", *names} - set(table))
    if absent:
        raise UserError(f"{features}: no column {', '.join(absent)}. Rerun the stage features.")
    for name in SETS:
        if not (table["set"] == name).any():
            raise UserError(
                f"{features}: no galaxy in the set {name}. Give a larger sample, or other shares "
                "in splits."
            )
    return with_colours(table, _bands(list(table)))


def _columns(method: str, available: list[str]) -> tuple[list[str], str]:
    """The inputs of a method, and why there are none."""
    if method.startswith("image"):
        latents = embedding_columns(available)
        return latents, "" if latents else "the run has no image embedding"
    if method == "photometry_mlp":
        wanted = magnitude_columns(PHOTOMETRY_BANDS)
        absent = sorted(set(wanted) - set(available))
        return wanted, f"the run has no {', '.join(absent)}" if absent else ""
    wanted = photometry_columns(_bands(available))
    return wanted, "" if wanted else "the run has no photometry"


def _bands(available: list[str]) -> list[str]:
    return [band for band in BANDS if f"mag_{band}" in available]


def _predict(
    table: pd.DataFrame,
    columns: list[str],
    names: list[str],
    method: str,
    settings: Baselines,
    seed: int,
) -> list[pd.DataFrame]:
    """Predictions of one method for all targets, with a training for each group of them."""
    sets = {name: table[table["set"] == name] for name in SETS}
    parts = []
    for group in _groups(sets["train"], sets["validation"], names):
        train, validation = (_measured(sets[s], columns, group) for s in ("train", "validation"))
        if len(train.inputs) < _LEAST or not len(validation.inputs):
            say(f"baselines: {method}: too few galaxies to train on {', '.join(group)}")
            continue
        predict = _FITS[method](train, validation, settings, seed)
        for name in ("validation", "test"):
            values = predict(sets[name][columns].to_numpy(np.float64))
            parts += list(_long(sets[name]["objid"], method, name, group, values))
    return parts


def _groups(train: pd.DataFrame, validation: pd.DataFrame, names: list[str]) -> list[list[str]]:
    """Targets that are measured in the same galaxies, which one training can serve."""
    groups: dict[bytes, list[str]] = {}
    known = pd.concat([train[names], validation[names]]).notna().to_numpy()
    for name, measured in zip(names, known.T, strict=True):
        groups.setdefault(measured.tobytes(), []).append(name)
    return list(groups.values())


def _measured(table: pd.DataFrame, columns: list[str], group: list[str]) -> Data:
    known = table[group].notna().all(axis=1)
    return Data(
        table.loc[known, columns].to_numpy(np.float64), table.loc[known, group].to_numpy(np.float64)
    )


def _long(
    objid: pd.Series, method: str, set: str, group: list[str], values: np.ndarray
) -> Iterator[pd.DataFrame]:
    for name, column in zip(group, values.T, strict=True):
        yield pd.DataFrame(
            {
                "method": method,
                "objid": objid.to_numpy(np.int64),
                "set": set,
                "target": name,
                "prediction": column.astype(np.float64),
            }
        )


def _empty() -> pd.DataFrame:
    """No predictions, so that a run without any method still has its table."""
    return pd.DataFrame(
        {
            "method": pd.Series(dtype=str),
            "objid": np.empty(0, np.int64),
            "set": pd.Series(dtype=str),
            "target": pd.Series(dtype=str),
            "prediction": np.empty(0, np.float64),
        }
    )


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


_FITS: dict[str, Fit] = {
    "photometry_mlp": _fit_photometry_mlp,
    "image_mlp": _fit_image_mlp,
    "image_knn": _fit_knn,
    "photometry_boosting": _fit_boosting,
}
