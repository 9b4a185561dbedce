"""A small VAE with random weights, on disk as train-vae leaves it, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from mgsflow.models.encoders.vae import VariationalAutoencoder, describe
from mgsflow.models.storage import save_model
from mgsflow.sample.shards import Layout
from mgsflow.sample.stretch import Stretch

LATENT = 6
LAYOUT = Layout("frames", ("g", "r", "i"), 16, 0.396, "float16")
STRETCH = Stretch(0.1, 5.0)


def save_small_vae(folder: Path, layout: Layout = LAYOUT) -> Path:
    """A model's folder with a small VAE in it."""
    torch.manual_seed(5)
    network = VariationalAutoencoder(len(layout.bands), layout.size, LATENT, [4, 6, 8])
    facts = describe(network, STRETCH, layout) | {"settings": {"precision": "float32"}}
    save_model(folder, network.state_dict(), facts)
    return folder
