"""Synthetic stamps for timing the VAE: round galaxies in noise, in shards like those of a run."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.tables import write_table
from mgsflow.sample.shards import Layout, create_shard

_COLOURS = np.array([0.5, 1.0, 1.4], np.float32)  # flux in g, r and i over that in r
_NOISE = 0.02  # nanomaggies per pixel, about the noise of SDSS's sky in r


def write_shards(folder: Path, count: int, size: int, shards: int) -> list[Path]:
    """Write `count` stamps of `size` pixels, float16 nanomaggies, each shard by its own process."""
    sizes = [len(part) for part in np.array_split(np.arange(count), shards)]
    paths = [folder / f"shard-{number:03d}.h5" for number in range(shards)]
    with ProcessPoolExecutor(min(shards, os.cpu_count() or 1)) as pool:
        list(pool.map(_write_shard, paths, sizes, [size] * shards, range(shards)))
    return paths


def _write_shard(path: Path, count: int, size: int, seed: int) -> None:
    layout = Layout("frames", ("g", "r", "i"), size, 0.396, "float16")
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2
    with create_shard(path, layout, count) as writer:
        for number in range(count):
            flux, width = 10 ** random.uniform(1, 2.5), size * random.uniform(0.03, 0.12)
            axis = random.uniform(0.4, 1)
            radius = np.sqrt(row**2 + (column / axis) ** 2) / width
            profile = flux / (2 * np.pi * axis * width**2) * np.exp(-radius)
            noise = _NOISE * random.standard_normal(layout.shape, np.float32)
            stamp = profile * _COLOURS[:, None, None] + noise
            writer.add(seed * 10**6 + number, stamp.astype(np.float16))


def write_tables(folder: Path, stored: int, shards: int, train: int, validate: int) -> None:
    """Write index.parquet and splits.parquet for more galaxies than stamps, which they share."""
    sizes = [len(part) for part in np.array_split(np.arange(stored), shards)]
    shard = np.repeat(np.arange(shards), sizes)
    row = np.concatenate([np.arange(size) for size in sizes])
    of = np.arange(train + validate) % stored
    ids = np.arange(train + validate, dtype=np.int64) + 1
    index = pd.DataFrame({"objid": ids, "shard": shard[of], "row": row[of]})
    write_table(folder / "index.parquet", index.assign(masked=np.float32(0)))
    names = np.repeat(["vae_train", "vae_validation"], [train, validate])
    write_table(folder / "splits.parquet", pd.DataFrame({"objid": ids, "set": names}))
