"""The residuals that the flows are fitted on.

If a head overfits, its residuals on its own training rows are narrower than on other galaxies, and
a flow fitted on them is overconfident: with 60 inputs and 1500 galaxies its 68% intervals contain
45% of the truths. With out-of-fold residuals, from heads that did not see the row, they contain
70%.

Two effects remain, both measured and left uncorrected. First, the encoding that a flow is
conditioned on comes from an encoder that saw the row and could carry information about it. However,
the flow stops early on validation rows, whose encodings are unaffected, and a flow fitted on rows
that the encoder never saw was no better. Second, the folds' heads have fewer rows than the final
head, so their residuals are slightly too wide: by 10% with 600 galaxies, 3% with 1500, and
negligibly with many. More `flows.folds` reduce this effect; a correction based on the validation
rows would add more noise than it removes.

A third effect is removed by the setting `rescaled`. A rare galaxy unlike all others is predicted
badly by the head of its fold, but not by the final head, which saw it. The flow learns to shift the
posterior of such galaxies although the final mean has already moved, so that they are shifted
twice. With 2200 galaxies this costs up to 0.02 in R2 (docs/real-data.md). The final head's own
residuals, stretched to the median size of the out-of-fold ones, have the same width and no such
shift: with the 60 inputs above the intervals contain 67%.
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

    With `flows.residuals` early_stopped the means are those of the members' `heads`. With rescaled
    they are such that the residuals are those of these heads, stretched to the size of the
    out-of-fold ones.
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
    """Median absolute residual of each target where measured: (members, n, targets) to one row.

    The median is robust to the few galaxies with the largest residuals, for which the folds' heads
    are worse than the final head.
    """
    return residuals.abs().nanmedian(dim=1, keepdim=True).values


def _out_of_fold_means(
    train: Rows, validation: Rows, architecture: Architecture, flows: Flows, seeds: Sequence[int]
) -> tuple[Tensor, list[dict[str, Curve]]]:
    """Out-of-fold means; the heads of all members' folds are fitted at once."""
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
    """Indices of `rows` rows, divided at random into `folds` disjoint parts of equal size (±1)."""
    with seeded(seed):
        return torch.tensor_split(torch.randperm(rows), folds)
