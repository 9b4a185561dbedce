"""The stage that encodes all stamps into latents with the frozen encoder."""

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
    """Encode all stamps into latents by objid, with the frozen encoder.

    --encoder is the folder of the trained model. The stamps are read through memory maps of the
    shards. A stamp with a pixel that is not finite is rejected: it has no row in --out, whose
    metadata have the number of rejected stamps.
    """
    torch.set_num_threads(compute.vae_threads)
    frozen = load_encoder(encoder, choose_device(compute))
    stamps = StampSet(shards, read_table(index, ["objid", "shard", "row"]))
    frozen.check(stamps.layout)
    good, latents = _encode_all(frozen, stamps)
    rejected = int((~good).sum())
    if rejected:
        say(f"encode: rejected {rejected} of {len(good)} stamps with pixels that are not finite")
    result = latent_table(frozen, latents[good])
    result.insert(0, "objid", stamps.objid[good])
    write_table(out, result, frozen.columns, {"refused_not_finite": rejected})


def _encode_all(encoder: Encoder, stamps: StampSet) -> tuple[np.ndarray, np.ndarray]:
    """Mask of the stamps with finite pixels (n,), and the latents (n, columns) of all stamps."""
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
