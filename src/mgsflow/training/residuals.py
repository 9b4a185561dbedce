"""The residuals that the flows are fitted on.

Where a head overfits, its residuals on its own training rows are narrower than on any other
galaxy, and a flow fitted on them is overconfident: with 60 inputs and 1500 galaxies its 68%
intervals hold 45%. Out-of-fold residuals, of heads that did not see the row, hold 70%.

Two things remain, both measured and left as they are. The encoding that a flow is conditioned on
comes from an encoder that did see the row, and could tell of it; but the flow stops early on
validation rows, whose encodings are honest, and fitted instead on rows that the encoder never saw
it did no better. And the folds' heads have fewer rows than the final one, so that their residuals
are somewhat too wide, by 10% with 600 galaxies, 3% with 1500 and nothing with many: more
`flows.folds` make it less. A correction by the validation rows would cost more in noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mgsflow.config.models import Flows
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture
from mgsflow.models.encoder import Heads
from mgsflow.training.fitting import Curve, seeded
from mgsflow.training.heads import Rows, fit_heads


def training_means(
    heads: Heads,
    train: Rows,
    validation: Rows,
    architecture: Architecture,
    flows: Flows,
    seed: int,
) -> tuple[Tensor, dict[str, Curve]]:
    """Predicted means of the training rows, (n, targets), and the curves of the fits behind them.

    With `flows.residuals` early_stopped they are the head's own.
    """
    if flows.residuals == "early_stopped":
        return heads(train.inputs).mean, {}
    return _out_of_fold_means(train, validation, architecture, flows, seed)


def _out_of_fold_means(
    train: Rows, validation: Rows, architecture: Architecture, flows: Flows, seed: int
) -> tuple[Tensor, dict[str, Curve]]:
    means = torch.empty_like(train.targets)
    curves = {}
    folds = divide(len(train), flows.folds, derive_seed(seed, "folds"))
    for i, fold in enumerate(folds):
        others = torch.cat([part for part in folds if part is not fold]).to(means.device)
        heads, curves[f"heads, fold {i}"] = fit_heads(
            train, validation, architecture, flows, derive_seed(seed, "fold", i), others
        )
        means[fold] = heads(train.inputs[fold]).mean
    return means, curves


def divide(rows: int, folds: int, seed: int) -> tuple[Tensor, ...]:
    """Indices of `rows` rows at random in `folds` disjoint parts of equal size (within one)."""
    with seeded(seed):
        return torch.tensor_split(torch.randperm(rows), folds)
