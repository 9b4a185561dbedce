"""The stage that turns all stamps into latents with the frozen VAE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mgsflow.config import Compute
from mgsflow.core.progress import say, track
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.encoders.vae import TrainedVae, load_vae
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
    """Encode all stamps with the frozen VAE: latent means and standard deviations by objid.

    --encoder is the folder of the trained model. The stamps stream through the shards' maps. One
    with a pixel that is no number is refused: it has no row in the result, and the file's notes
    count it.
    """
    torch.set_num_threads(compute.vae_threads)
    vae = load_vae(encoder, choose_device(compute))
    table = read_table(index, ["objid", "shard", "row"])
    stamps = StampSet(shards, table, vae.stretch)
    vae.check(stamps.layout)
    good, mean, std = _encode_all(vae, stamps)
    refused = int((~good).sum())
    if refused:
        say(f"encode: refused {refused} of {len(good)} stamps: they have pixels that are no number")
    latents = {f"latent_mean_{k:02d}": mean[good, k] for k in range(mean.shape[1])}
    latents |= {f"latent_std_{k:02d}": std[good, k] for k in range(std.shape[1])}
    result = pd.DataFrame({"objid": stamps.objid[good], **latents})
    write_table(out, result, _quantities(mean.shape[1]), {"refused_not_finite": refused})


def _encode_all(vae: TrainedVae, stamps: StampSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which stamps are good (n,), and means and standard deviations (n, latent) of all."""
    count, latent = len(stamps), vae.network.architecture["latent"]
    good = np.ones(count, dtype=bool)
    mean, std = np.zeros((2, count, latent), dtype=np.float32)
    starts = range(0, count, BATCH)
    for start in track(starts, f"encode, batches of {BATCH}"):
        rows = np.arange(start, min(start + BATCH, count))
        raw = stamps.raw(rows)
        good[rows] = np.isfinite(raw).all(axis=(1, 2, 3))
        mean[rows], std[rows] = vae.encode(raw)
    return good, mean, std


def _quantities(latent: int) -> list[Quantity]:
    return [
        Quantity(f"latent_{kind}_{k:02d}", "", f"{text} of the VAE's latent dimension {k}")
        for kind, text in (("mean", "Mean"), ("std", "Standard deviation"))
        for k in range(latent)
    ]
