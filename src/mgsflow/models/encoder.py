"""The MLP encoder and its heads: means of the targets, detectability of metallicity.

Paper, section 2.3: a plain MLP maps the inputs to a 256-dimensional encoding; from it, an MLP head
predicts the means, and a small MLP with a sigmoid output predicts whether metallicity is
measurable. They are trained together, with squared error and binary cross-entropy, and then frozen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mgsflow.config.models import Flows


class Prediction(NamedTuple):
    """The heads' predictions for n galaxies."""

    encoding: Tensor  # (n, encoding)
    mean: Tensor  # (n, targets), standardised
    logit: Tensor | None  # (n,), logit of the probability that metallicity is measurable


class Heads(nn.Module):
    """Encoder, mean head and, if `detects`, the detectability head.

    Parameters
    ----------
    inputs, targets : numbers of columns
    detects : whether there is a detectability head
    settings : widths and dropout
    """

    def __init__(self, inputs: int, targets: int, detects: bool, settings: Flows) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((inputs,), -torch.inf))
        self.register_buffer("high", torch.full((inputs,), torch.inf))
        widths = [inputs, *settings.encoder_hidden, settings.encoding]
        self.encoder = nn.Sequential(*_hidden_layers(widths, settings.dropout))
        self.mean = _head(settings, targets)
        self.detect = _head(settings, 1) if detects else None

    def bound(self, inputs: Tensor) -> None:
        """Set the bounds to the range of the training set's standardised inputs (n, inputs).

        Inputs beyond a bound are set to the bound, because a network's extrapolation is unreliable:
        for one galaxy with an error of six magnitudes in u it predicted a mass of 94 dex.
        """
        self.low.copy_(inputs.amin(0))
        self.high.copy_(inputs.amax(0))

    def forward(self, inputs: Tensor) -> Prediction:
        """Predictions for standardised inputs, shape (n, inputs), clamped to the bounds."""
        encoding = self.encoder(inputs.clamp(self.low, self.high))
        logit = None if self.detect is None else self.detect(encoding).squeeze(-1)
        return Prediction(encoding, self.mean(encoding), logit)


def _hidden_layers(widths: list[int], dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(dropout)]
    return layers[:-1]  # no dropout on the encoding itself: the heads have their own


def _head(settings: Flows, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(settings.encoding, settings.head_hidden),
        nn.SiLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.head_hidden, outputs),
    )


def masked_squared_error(mean: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over the entries of `truth`, shape (n, targets), that are not NaN.

    A missing entry has no gradient: it is set to zero before the difference is taken, because a NaN
    multiplied by a mask's zero would still be NaN in the gradient.
    """
    present = ~torch.isnan(truth)
    error = (mean - torch.nan_to_num(truth)) * present
    return error.square().sum() / present.sum().clamp(min=1)


def combined_loss(prediction: Prediction, truth: Tensor, measured: Tensor | None) -> Tensor:
    """Squared error of the means plus binary cross-entropy of the detectability.

    `measured`, shape (n,), is 1 where metallicity was measured; None if it is not modelled.
    """
    loss = masked_squared_error(prediction.mean, truth)
    if prediction.logit is not None and measured is not None:
        loss = loss + functional.binary_cross_entropy_with_logits(prediction.logit, measured)
    return loss
