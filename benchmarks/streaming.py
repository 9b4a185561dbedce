"""Measure rate and memory of `mgsflow infer`, which writes draws of any number of galaxies.

    python benchmarks/streaming.py --out benchmarks/results/streaming.json

Flows of the paper's size on photometry, one member, are trained for one epoch, which does not
change the cost of sampling. The command then infers tables with increasing numbers of galaxies, 256
draws of nine quantities each, in a process of one thread that the system measures (metered.py). The
rate is that of the galaxies added from the smallest table to the largest, so that it does not
include the start.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from cost_growth import machine_here
from flow_training import SEED, features
from growth_tables import MILLION
from startup import timed

from mgsflow.config import Compute, Flows, Photometry, Targets
from mgsflow.core.files import write_json
from mgsflow.core.tables import write_table
from mgsflow.training.train_flow import train_flow

VARIANT = "photometry-observed"
DRAWS = 256


def train(folder: Path, table: pd.DataFrame, settings: Flows) -> None:
    """Train both flows into `folder`."""
    write_table(folder / "features.parquet", table)
    for flow in ("property", "line"):
        out = folder / flow / VARIANT
        train_flow(
            features=folder / "features.parquet",
            flow=flow,
            variant=VARIANT,
            flows=settings,
            targets=Targets(),
            photometry=Photometry(),
            compute=Compute(device="cpu", flow_threads=1),
            seed=SEED,
            checkpoints=folder / "checkpoints",
            out=out,
        )


def galaxies(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` galaxies with the photometry of `table` plus noise, so that no two are equal."""
    random = np.random.default_rng(SEED)
    rows = random.integers(len(table), size=count)
    inputs = [name for name in table if name.startswith(("mag_", "colour_"))]
    chosen = table[inputs].iloc[rows].reset_index(drop=True)
    chosen += 0.05 * random.standard_normal(chosen.shape)
    chosen.insert(0, "objid", np.arange(count, dtype=np.int64) + 1)
    return chosen


def infer(folder: Path, table: pd.DataFrame, count: int, draws: int) -> dict[str, Any]:
    """Cost of the command for `count` galaxies, and the bytes that it wrote."""
    write_table(folder / "galaxies.parquet", galaxies(table, count))
    out = folder / "draws.h5"
    command = [sys.executable, "-m", "mgsflow.cli", "infer", "--threads", "1"]
    command += ["--device", "cpu"]
    command += ["--galaxies", str(folder / "galaxies.parquet"), "--models", str(folder)]
    command += ["--variant", VARIANT, "--draws", str(draws), "--seed", "1", "--out", str(out)]
    (run,) = timed(command, 1)
    written = out.stat().st_size
    out.unlink()
    kept = ("cpu_seconds", "wall_seconds", "peak_bytes", "own_bytes")
    return {"galaxies": count, "bytes": written, **{key: run[key] for key in kept}}


def rates(rows: list[dict[str, Any]], draws: int) -> dict[str, float]:
    """Rates by CPU time, for the galaxies added from the first row to the last."""
    first, last = rows[0], rows[-1]
    more = last["galaxies"] - first["galaxies"]
    seconds = last["cpu_seconds"] - first["cpu_seconds"]
    each = seconds / more
    return {
        "galaxies_per_second": more / seconds,
        "draws_per_second": more * draws / seconds,
        "bytes_per_second": (last["bytes"] - first["bytes"]) / seconds,
        "million_seconds": first["cpu_seconds"] + each * (MILLION - first["galaxies"]),
        "million_bytes": last["bytes"] / last["galaxies"] * MILLION,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, nargs="+", default=[1000, 20_000, MILLION])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with a small flow and few galaxies"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws, counts = (8, [20, 60]) if args.tiny else (DRAWS, sorted(args.galaxies))
    if len(counts) < 2:
        parser.error("--galaxies: give two numbers or more, between which the rate is taken")
    settings = Flows(variants=[VARIANT], members=1, folds=2, epochs=1, patience=1)
    if args.tiny:
        settings = settings.model_copy(update={"coupling_hidden": 8, "couplings": 2})
    with tempfile.TemporaryDirectory() as name:
        folder, table = Path(name), features(2000)
        train(folder, table, settings)
        rows = []
        for count in counts:
            rows.append(infer(folder, table, count, draws))
            print(f"{count} galaxies: {rows[-1]['cpu_seconds']:.1f} CPU seconds", flush=True)
    result = {"machine": machine_here(), "draws": draws, "rows": rows}
    write_json(args.out, result | rates(rows, draws))


if __name__ == "__main__":
    main()
