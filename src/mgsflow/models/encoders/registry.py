"""The encoders there are, by their kind: the one place that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from mgsflow.core.errors import UserError
from mgsflow.models.encoders import vae
from mgsflow.models.encoders.base import Decoder, Encoder
from mgsflow.models.storage import read_description

# By `architecture.kind` of their description. Imported by name, so that a change in one reruns what
# it encodes (`core.code`).
LOADERS: dict[str, Callable[[Path, torch.device | str], Encoder]] = {vae.KIND: vae.load_vae}


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> Encoder:
    """The encoder in the folder of a model, of whatever kind it says it is, frozen.

    Raises UserError if the folder holds none, or one that is broken.
    """
    return LOADERS[_kind(folder)](folder, device)


def load_decoder(folder: Path, device: torch.device | str = "cpu") -> Decoder:
    """The same, for what needs images of latents. Raises UserError if it cannot decode."""
    encoder = load_encoder(folder, device)
    if not isinstance(encoder, Decoder):
        raise UserError(
            f"{folder}: an encoder of the kind {_kind(folder)} cannot decode, so there are no "
            "images along latent directions. Set evaluation.direction_targets to []."
        )
    return encoder


def _kind(folder: Path) -> str:
    architecture = read_description(folder).get("architecture")
    kind = architecture.get("kind") if isinstance(architecture, dict) else None
    if kind not in LOADERS:
        raise UserError(
            f"{folder}: describes no encoder: its architecture is of the kind {kind}, expected "
            f"{' or '.join(LOADERS)}. Give the folder of an encoder, or rerun its training."
        )
    return kind
