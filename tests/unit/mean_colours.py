"""An encoder of another kind than the VAE: the mean of each band's pixels. It cannot decode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mgsflow.core.latents import mean_column
from mgsflow.core.quantities import Quantity
from mgsflow.models.encoders.base import describe_encoder, read_stamps, require_layout
from mgsflow.models.storage import load_model, save_model
from mgsflow.sample.shards import Layout
from mgsflow.sample.stretch import Stretch

KIND = "mean_colours"


@dataclass(frozen=True)
class MeanColours:
    """Means of the stretched pixels of each band, divided by `scale` (bands,)."""

    layout: Layout
    stretch: Stretch
    scale: np.ndarray

    @property
    def columns(self) -> list[Quantity]:
        return [
            Quantity(mean_column(i), "", f"Mean of the pixels in {band}")
            for i, band in enumerate(self.layout.bands)
        ]

    def check(self, layout: Layout) -> None:
        require_layout(self.layout, layout)

    def encode(self, raw: np.ndarray) -> np.ndarray:
        return self.stretch(raw).mean(axis=(2, 3)) / self.scale


def load_mean_colours(folder: Path, device: torch.device | str = "cpu") -> MeanColours:
    weights, facts = load_model(folder)
    return MeanColours(*read_stamps(facts), weights["scale"].numpy())


def save_mean_colours(folder: Path, layout: Layout) -> Path:
    """A model's folder with such an encoder in it."""
    encoder = MeanColours(layout, Stretch(0.1, 5.0), np.full(len(layout.bands), 0.5, np.float32))
    facts = describe_encoder(KIND, {}, layout, encoder.stretch, encoder.columns)
    save_model(folder, {"scale": torch.from_numpy(encoder.scale)}, facts)
    return folder
