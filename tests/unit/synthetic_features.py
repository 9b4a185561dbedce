"""A small table of features with a known truth, and settings small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config.models import Compute, Flows
from mgsflow.config.sample import Photometry, Targets
from mgsflow.core.tables import write_table
from mgsflow.training.train_flow import train_flow

VARIANT = "photometry-observed"
FIRST_OBJID = 1_237_648_720_000_000_000
FLOWS = Flows(
    variants=[VARIANT],
    members=2,
    folds=2,
    encoding=16,
    encoder_hidden=[32],
    head_hidden=16,
    couplings=4,
    coupling_hidden=16,
    epochs=8,
    patience=4,
    batch_size=64,
)
PHOTOMETRY, COMPUTE = Photometry(), Compute(flow_threads=1, device="cpu")


def make_features(galaxies: int = 240, missing: bool = True, seed: int = 0) -> pd.DataFrame:
    """Features of a toy sky; of its metallicities about half are missing, the low-SFR ones."""
    random = np.random.default_rng(seed)
    redshift = random.uniform(0.02, 0.3, galaxies)
    mass = 10 + 0.6 * random.standard_normal(galaxies)
    sfr = 0.7 * (mass - 10) + 0.4 * random.standard_normal(galaxies)
    table = pd.DataFrame({"objid": FIRST_OBJID + np.arange(galaxies, dtype=np.int64)})
    share = np.arange(galaxies) / galaxies
    table["set"] = np.select([share < 0.6, share < 0.8], ["train", "validation"], "test")
    for i, band in enumerate("ugriz"):
        noise = 0.03 * random.standard_normal(galaxies)
        brightness = 5 * np.log10(redshift) - 1.5 * (mass - 10)
        table[f"mag_{band}"] = 22 + brightness - 0.4 * i - 0.1 * (4 - i) * sfr + noise
    for blue, red in zip("ugri", "griz", strict=True):
        table[f"colour_{blue}_{red}"] = table[f"mag_{blue}"] - table[f"mag_{red}"]
    table["log_stellar_mass"], table["log_sfr"], table["redshift"] = mass, sfr, redshift
    table["log_black_hole_mass"] = 7 + 1.2 * (mass - 10) + 0.5 * random.standard_normal(galaxies)
    table["metallicity"] = 8.7 + 0.2 * sfr + 0.05 * random.standard_normal(galaxies)
    if missing:
        table.loc[sfr < np.median(sfr), "metallicity"] = np.nan
    for i, line in enumerate(Targets().lines):
        scatter = 0.2 * random.standard_normal(galaxies)
        table[line] = np.log1p(10 ** (1.5 + 0.7 * sfr - 0.2 * i + scatter))
    return table


def train(
    folder: Path,
    table: pd.DataFrame,
    flow: str,
    targets: Targets,
    flows: Flows = FLOWS,
    seed: int = 1,
    variant: str = VARIANT,
) -> Path:
    """Train `flow` on `table` in `folder`; returns the model's folder."""
    write_table(folder / "features.parquet", table)
    model = folder / flow / variant
    train_flow(
        features=folder / "features.parquet",
        flow=flow,
        variant=variant,
        flows=flows,
        targets=targets,
        photometry=PHOTOMETRY,
        compute=COMPUTE,
        seed=seed,
        checkpoints=folder / "checkpoints",
        out=model,
    )
    return model
