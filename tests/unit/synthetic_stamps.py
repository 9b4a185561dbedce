"""Small shards of round galaxies of known flux and size, with their index and splits."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.tables import write_table
from mgsflow.sample.index_stamps import index_stamps
from mgsflow.sample.shards import Layout, create_shard

LAYOUT = Layout("frames", ("g", "r", "i"), 16, 0.396, "float16")
COLOUR = (0.5, 1.0, 1.4)  # flux in g, r, i over that in r


def galaxy_stamps(count, seed=0, layout=LAYOUT):
    """Stamps (count, 3, 16, 16), and the logarithm of each galaxy's flux and its size in pixels."""
    random = np.random.default_rng(seed)
    log_flux, size = random.uniform(0.5, 2.0, count), random.uniform(1.2, 3.5, count)
    row, column = np.mgrid[: layout.size, : layout.size] - (layout.size - 1) / 2
    radius = row**2 + column**2
    profile = np.exp(-0.5 * radius / size[:, None, None] ** 2)
    profile *= (10**log_flux / (2 * np.pi * size**2))[:, None, None]
    stamps = profile[:, None] * np.array(COLOUR)[:, None, None]
    if layout.dtype == "uint8":
        return np.clip(60 * stamps, 0, 255).astype(np.uint8), log_flux, size
    return (stamps + random.normal(0, 0.02, stamps.shape)).astype(np.float16), log_flux, size


def write_run(folder, count=96, shards=2, layout=LAYOUT, seed=0):
    """Shards, index and splits below `folder`; returns the shards and the galaxies' truth."""
    stamps, log_flux, size = galaxy_stamps(count, seed, layout)
    ids = 1237648720693755918 + np.arange(count, dtype=np.int64)
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(count), shards)):
        paths.append(folder / f"shard-{number:03d}.h5")
        with create_shard(paths[-1], layout, len(rows)) as writer:
            for row in rows:
                writer.add(ids[row], stamps[row])
    index_stamps(
        shards=paths,
        masked_max=1.0,
        out=folder / "index.parquet",
        dropped=folder / "dropped-index.parquet",
    )
    names = np.array(["vae_train", "vae_train", "vae_validation", "train"])
    splits = pd.DataFrame({"objid": ids[::-1], "set": names[np.arange(count) % 4]})
    write_table(folder / "splits.parquet", splits)
    truth = pd.DataFrame({"objid": ids, "log_flux": log_flux, "size": size})
    return paths, truth
