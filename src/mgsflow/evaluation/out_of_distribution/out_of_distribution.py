"""The stage that measures how well the flag `out_of_distribution` finds the anomalies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from mgsflow.config import Compute, Evaluation
from mgsflow.core.latents import is_latent
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.evaluation.metrics import auc
from mgsflow.evaluation.out_of_distribution.anomaly_names import TEST_SET
from mgsflow.models.encoders.base import Encoder, latent_table
from mgsflow.models.encoders.registry import load_encoder
from mgsflow.models.storage import read_description
from mgsflow.posterior.posterior import Posterior
from mgsflow.training.loop import choose_device

SET = "test"
ENCODED_AT_ONCE = 256
SCORES = ("out_of_distribution_score", "epistemic_spread")

_INTERVAL = "end of its 95% bootstrap interval over the test set's galaxies"
_FIGURES = {
    "auc": "Area under the score's ROC curve, anomalies against the test set",
    "auc_epistemic": "The same of the epistemic spread; NaN with one member",
    "true_positive_rate": "Share of the anomalies that are flagged",
    "false_positive_rate": "Share of the test set that is flagged",
    "epistemic_ratio": "Median epistemic spread of the anomalies over the test set's",
}
TABLE = (
    Quantity("variant", "", "Variant of the flows' inputs"),
    Quantity("anomaly", "", "What was put in the galaxies' place"),
    Quantity("n", "", "Anomalies"),
    Quantity("n_test", "", "Galaxies of the test set"),
    *(
        Quantity(f"{name}{end}", "", text if not end else f"{word} {_INTERVAL}")
        for name, text in _FIGURES.items()
        for end, word in (("", ""), ("_low", "Lower"), ("_high", "Upper"))
    ),
)
PER_GALAXY = (
    Quantity("variant", "", "Variant of the flows' inputs"),
    Quantity("anomaly", "", f"What was put in the galaxy's place; `{TEST_SET}`: nothing"),
    Quantity("objid", "", "The galaxy of the test set"),
    Quantity(
        "out_of_distribution_score",
        "",
        "Nats by which ln p(inputs) is below the flag's threshold",
    ),
    Quantity("epistemic_spread", "", "Spread of the members' heads, in the targets' own spread"),
)


def out_of_distribution(
    *,
    features: Path,
    anomalies: Path,
    stamps: Path,
    encoder: Path | None = None,
    models: list[Path],
    evaluation: Evaluation,
    compute: Compute,
    seed: int,
    out: Path,
    scores: Path,
) -> None:
    """Measure how well the flag of each variant finds the anomalies of the stage of that name.

    `models` are the folders of all flows, --encoder that of the encoder of the stamps. --out has
    the area under the ROC curve, the share that is flagged and how much the members' disagreement
    grows, one row for each variant and anomaly; --scores the two scores of each galaxy. An anomaly
    that a variant cannot see, such as an empty stamp without images, has no row.
    """
    torch.set_num_threads(compute.flow_threads)
    device = choose_device(compute)
    table = read_table(features)
    test = table[table["set"] == SET].reset_index(drop=True)
    objects = read_table(anomalies)
    if encoder is not None:
        objects = _encoded(objects, stamps, load_encoder(encoder, device))
    of_variants = []
    for variant, posterior in _posteriors(models, device):
        say(f"out-of-distribution: {variant}")
        of_variants.append(_scored(posterior, variant, test, objects))
    per_galaxy = pd.concat(of_variants, ignore_index=True)
    write_table(scores, per_galaxy, PER_GALAXY, {"set": SET})
    rows = [
        row
        for variant, part in per_galaxy.groupby("variant", sort=False)
        for row in _judge(str(variant), part, evaluation, seed)
    ]
    columns = [quantity.name for quantity in TABLE]
    write_table(out, pd.DataFrame(rows, columns=columns), TABLE, {"set": SET})


def _posteriors(models: list[Path], device: torch.device) -> Iterator[tuple[str, Posterior]]:
    """Each variant's posterior, both flows together, one at a time in memory."""
    folders: dict[str, list[Path]] = {}
    for path in models:
        folders.setdefault(str(read_description(path)["variant"]), []).append(path)
    for variant, parts in folders.items():
        yield variant, Posterior.load(*parts).to(device)


def _encoded(anomalies: pd.DataFrame, stamps: Path, encoder: Encoder) -> pd.DataFrame:
    """The anomalies with the latents of their stamps; NaN where there is no stamp."""
    rows = anomalies["stamp"].to_numpy()
    has = np.flatnonzero(rows >= 0)
    latents = np.full((len(anomalies), len(encoder.columns)), np.nan, np.float32)
    with h5py.File(stamps, "r") as file:
        for start in range(0, len(has), ENCODED_AT_ONCE):
            part = has[start : start + ENCODED_AT_ONCE]
            latents[part] = encoder.encode(file["stamps"][rows[part]])
    return pd.concat([anomalies, latent_table(encoder, latents)], axis=1)


def _scored(
    posterior: Posterior, variant: str, test: pd.DataFrame, anomalies: pd.DataFrame
) -> pd.DataFrame:
    """Both scores of the test set and of the anomalies that this variant can see."""
    parts = {TEST_SET: test}
    for name, part in anomalies.groupby("anomaly", sort=False):
        if _sees(posterior, part):
            parts[str(name)] = _finite(part, posterior.inputs, f"{variant}, {name}")
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "variant": variant,
                    "anomaly": name,
                    "objid": part["objid"].to_numpy(),
                    "out_of_distribution_score": posterior.out_of_distribution_score(part),
                    "epistemic_spread": posterior.epistemic_spread(part),
                }
            )
            for name, part in parts.items()
        ],
        ignore_index=True,
    )


def _finite(part: pd.DataFrame, inputs: list[str], what: str) -> pd.DataFrame:
    """Those whose inputs can be had: of some stars no template gives rest-frame colours."""
    good = np.isfinite(part[inputs].to_numpy(np.float64)).all(axis=1)
    if not good.all():
        say(f"out-of-distribution: {what}: {(~good).sum()} of {len(good)} have no such inputs")
    return part[good]


def _sees(posterior: Posterior, part: pd.DataFrame) -> bool:
    """Whether any of the inputs is the anomaly's, and all can be had."""
    images = any(map(is_latent, posterior.inputs))
    photometry = not all(map(is_latent, posterior.inputs))
    has_stamp, has_photometry = bool((part["stamp"] >= 0).all()), bool(part["photometry"].all())
    if images and not has_stamp:
        return False
    return images or (photometry and has_photometry)


def _judge(
    variant: str, scores: pd.DataFrame, evaluation: Evaluation, seed: int
) -> Iterator[dict[str, object]]:
    """The rows of a variant, an anomaly each.

    A galaxy that was drawn for a resample brings what was put in its place with it: the two are
    alike in what was kept, such as the magnitudes of an empty stamp.
    """
    test = scores[scores["anomaly"] == TEST_SET]
    for name, part in scores[scores["anomaly"] != TEST_SET].groupby("anomaly", sort=False):
        arrays = _paired(test, part)
        row: dict[str, object] = {"variant": variant, "anomaly": name}
        row |= {"n": len(part), "n_test": len(test)}
        own_seed = derive_seed(seed, "out-of-distribution", variant, name)
        for figure, function in FIGURES.items():
            estimate = bootstrap(_of_pairs(function), arrays, evaluation.bootstrap, own_seed)
            row |= estimate.columns(figure)
        yield row


def _paired(test: pd.DataFrame, anomalies: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """One row for each test galaxy, (n,): whether an anomaly took its place, its scores, those."""
    replaced = anomalies.set_index("objid")[list(SCORES)].reindex(test["objid"])
    scores = [table[name].to_numpy(np.float64) for table in (test, replaced) for name in SCORES]
    return test["objid"].isin(anomalies["objid"]).to_numpy(), *scores


def _of_pairs(figure: Callable[..., float]) -> Callable[..., float]:
    """A figure of (anomalous, *scores) as one of the arrays of `_paired`."""

    def paired(has: np.ndarray, *scores: np.ndarray) -> float:
        count = len(scores) // 2
        anomalous = np.arange(has.sum() + len(has)) < has.sum()
        joined = [
            np.r_[other[has], own]
            for own, other in zip(scores[:count], scores[count:], strict=True)
        ]
        return figure(anomalous, *joined)

    return paired


def _share(flagged: np.ndarray) -> float:
    return float(flagged.mean()) if len(flagged) else float("nan")


def _ratio(anomalous: np.ndarray, epistemic: np.ndarray) -> float:
    if anomalous.all() or not anomalous.any():
        return float("nan")
    return float(np.median(epistemic[anomalous]) / np.median(epistemic[~anomalous]))


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "auc": lambda anomalous, score, _: auc(anomalous, score),
    "auc_epistemic": lambda anomalous, _, epistemic: auc(anomalous, epistemic),
    "true_positive_rate": lambda anomalous, score, _: _share(score[anomalous] > 0),
    "false_positive_rate": lambda anomalous, score, _: _share(score[~anomalous] > 0),
    "epistemic_ratio": lambda anomalous, _, epistemic: _ratio(anomalous, epistemic),
}
