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

There is a third, which `rescaled` mends. A rare galaxy that no other is like is missed by the head
of its fold, and not by the final head, which saw it: the flow learns to move the posterior of such
galaxies where the final mean has gone already, and they move twice. With 2200 galaxies that costs
up to 0.02 of R2 (docs/real-data.md). The final head's own residuals, stretched to the median size
of the out-of-fold ones, have the same width and no such shift: on the 60 inputs above 67%.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mgsflow.config.models import Flows
from mgsflow.core.seeds import derive_seed
from mgsflow.models.branch import Architecture
from mgsflow.models.encoder import Heads
from mgsflow.training.descent import Curve
from mgsflow.training.fitting import seeded
from mgsflow.training.heads import Rows, fit_heads


def training_means(
    heads: Sequence[Heads],
    train: Rows,
    validation: Rows,
    architecture: Architecture,
    flows: Flows,
    seeds: Sequence[int],
) -> tuple[Tensor, list[dict[str, Curve]]]:
    """Predicted means of the training rows, (members, n, targets), and the fits' curves.

    With `flows.residuals` early_stopped they are those of the members' `heads`. With rescaled they
    are what leaves these heads' residuals stretched to the size of the out-of-fold ones.
    """
    own = torch.stack([head(train.inputs).mean for head in heads])
    if flows.residuals == "early_stopped":
        return own, [{} for _ in heads]
    means, curves = _out_of_fold_means(train, validation, architecture, flows, seeds)
    if flows.residuals == "rescaled":
        size = _median_size(train.targets - means) / _median_size(train.targets - own)
        means = train.targets - size * (train.targets - own)
    return means, curves


def _median_size(residuals: Tensor) -> Tensor:
    """Of each target's residuals where it is measured: (members, n, targets) to one row each.

    The median, because the few that are missed most are those which the folds' heads miss more.
    """
    return residuals.abs().nanmedian(dim=1, keepdim=True).values


def _out_of_fold_means(
    train: Rows, validation: Rows, architecture: Architecture, flows: Flows, seeds: Sequence[int]
) -> tuple[Tensor, list[dict[str, Curve]]]:
    """The heads of all members' folds are fitted at once."""
    folds = [divide(len(train), flows.folds, derive_seed(seed, "folds")) for seed in seeds]
    others = [
        torch.cat([part for part in member if part is not fold])
        for member in folds
        for fold in member
    ]
    own = [derive_seed(seed, "fold", i) for seed in seeds for i in range(flows.folds)]
    heads, fitted = fit_heads(
        train, validation, architecture, flows, own, others, "heads of the folds"
    )
    means = train.targets.new_empty(len(seeds), *train.targets.shape)
    curves: list[dict[str, Curve]] = [{} for _ in seeds]
    for k, (head, curve) in enumerate(zip(heads, fitted, strict=True)):
        member, i = divmod(k, flows.folds)
        fold = folds[member][i].to(means.device)
        means[member, fold] = head(train.inputs[fold]).mean
        curves[member][f"heads, fold {i}"] = curve
    return means, curves


def divide(rows: int, folds: int, seed: int) -> tuple[Tensor, ...]:
    """Indices of `rows` rows at random in `folds` disjoint parts of equal size (within one)."""
    with seeded(seed):
        return torch.tensor_split(torch.randperm(rows), folds)
