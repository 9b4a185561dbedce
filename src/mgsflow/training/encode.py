"""The stage that turns all stamps into latents with the frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mgsflow.config import Compute
from mgsflow.core.progress import say, track
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.encoders.base import Encoder, latent_table
from mgsflow.models.encoders.registry import load_encoder
from mgsflow.sample.shards import StampSet
from mgsflow.training.loop import choose_device

BATCH = 256


def encode(
    *,
    shards: list[Path],
    index: Path,
    encoder: Path,
    compute: Compute,
    out: Path,
) -> None:
    """Encode all stamps with the frozen encoder: its latents by objid.

    --encoder is the folder of the trained model. The stamps stream through the shards' maps. One
    with a pixel that is no number is refused: it has no row in the result, and the file's notes
    count it.
    """
    torch.set_num_threads(compute.vae_threads)
    frozen = load_encoder(encoder, choose_device(compute))
    stamps = StampSet(shards, read_table(index, ["objid", "shard", "row"]))
    frozen.check(stamps.layout)
    good, latents = _encode_all(frozen, stamps)
    refused = int((~good).sum())
    if refused:
        say(f"encode: refused {refused} of {len(good)} stamps: they have pixels that are no number")
    result = latent_table(frozen, latents[good])
    result.insert(0, "objid", stamps.objid[good])
    write_table(out, result, frozen.columns, {"refused_not_finite": refused})


def _encode_all(encoder: Encoder, stamps: StampSet) -> tuple[np.ndarray, np.ndarray]:
    """Which stamps are good (n,), and the latents (n, columns) of all."""
    count = len(stamps)
    good = np.ones(count, dtype=bool)
    latents = np.zeros((count, len(encoder.columns)), dtype=np.float32)
    starts = range(0, count, BATCH)
    for start in track(starts, f"encode, batches of {BATCH}"):
        rows = np.arange(start, min(start + BATCH, count))
        raw = stamps.raw(rows)
        good[rows] = np.isfinite(raw).all(axis=(1, 2, 3))
        latents[rows] = encoder.encode(raw)
    return good, latents
