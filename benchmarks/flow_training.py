"""Time the training of an ensemble with and without each step that makes it fast.

    python benchmarks/flow_training.py --device cuda --out benchmarks/results/flow_training.json

The members of the paper's two flows (five properties with the chain rule of metallicity, four
lines) on 125,000 synthetic galaxies with 73 inputs, split 70/15/15: some epochs of every phase by
each method, to compare times and losses; then the stage train-flow until it stops early. The rows
of a device replace those of the same device in --out. `--tiny` tests all of it in seconds. For the
tables of docs/performance.md: python benchmarks/performance.py
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from plain_fitting import plain_fit
from torch import Tensor, nn
from vae_roofline import now

from mgsflow.config import Compute, Flows, Photometry, Targets
from mgsflow.core.files import read_json, write_json
from mgsflow.core.surveys import SDSS
from mgsflow.core.tables import write_table
from mgsflow.models.branch import Architecture
from mgsflow.models.embedding import photometry_columns
from mgsflow.training import fitting, heads, members
from mgsflow.training.heads import Rows
from mgsflow.training.train_flow import train_flow

SEED = 1
VARIANT = "images_photometry-observed"
LATENTS = 32
FEW, MORE = 2, 5  # epochs; in the difference no epoch records a CUDA graph


@dataclass(frozen=True)
class Way:
    """A method to train `members` members; `plain`: one after the other by the simplest loop."""

    name: str
    members: int
    plain: bool = False
    recorded: bool = True


# In the order of measurement: the most important first, in case time runs out
WAYS = [
    Way("five members: the package", 5),
    Way("one member: the package", 1),
    Way("one member, the plain loop", 1, plain=True, recorded=False),
    Way("one member, without the graph", 1, recorded=False),
    Way("five members, without the graph", 5, recorded=False),
    Way("five members, the plain loop", 5, plain=True, recorded=False),
]


def features(galaxies: int, seed: int = SEED) -> pd.DataFrame:
    """Galaxies whose inputs are noisy functions of the targets."""
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((galaxies, 6))
    inputs = [f"latent_mean_{i:02d}" for i in range(LATENTS)]
    inputs += [f"latent_std_{i:02d}" for i in range(LATENTS)]
    inputs += photometry_columns(SDSS.bands)
    views = np.tanh(hidden @ random.standard_normal((6, len(inputs)))) + hidden[:, :1] * 0.3
    views += 0.7 * random.standard_normal(views.shape)
    table = pd.DataFrame(views, columns=inputs)
    table.insert(0, "objid", np.arange(galaxies, dtype=np.int64) + 1)
    share = np.arange(galaxies) / galaxies
    table["set"] = np.select([share < 0.7, share < 0.85], ["train", "validation"], "test")
    names = [*Targets().properties, *Targets().lines]
    scatter = random.standard_normal((galaxies, len(names)))
    truth = hidden @ random.standard_normal((6, len(names))) * 0.5 + 0.4 * scatter
    table[names] = truth + 0.2 * truth**2
    table.loc[hidden[:, 1] > 0.5, "metallicity"] = np.nan
    return table


def rows_of(table: pd.DataFrame, name: str, goals: list[str], device: torch.device) -> Rows:
    part = table[table["set"] == name]
    inputs = [c for c in table if c.startswith(("latent_", "mag_", "colour_"))]
    return Rows(
        *(torch.tensor(part[c].to_numpy(np.float32), device=device) for c in (inputs, goals))
    )


@contextmanager
def way_of(way: Way) -> Iterator[None]:
    """Within the block the package trains by this method."""
    with ExitStack() as stack:
        if way.plain:
            for module in (heads, members):
                stack.enter_context(mock.patch.object(module, "fit", one_by_one))
        if not way.recorded:
            stack.enter_context(mock.patch.object(fitting, "record_graph", lambda work: work))
        yield


def one_by_one(
    models: Sequence[nn.Module],
    train: Sequence[Tensor],
    validation: Sequence[Tensor],
    flows: Flows,
    seeds: Sequence[int],
    name: str,
    rows: Sequence[Tensor] | None = None,
) -> list[fitting.Curve]:
    """`fitting.fit` by the simplest loop."""
    rows = [torch.arange(train[0].shape[1])] * len(models) if rows is None else rows
    curves = []
    for i, model in enumerate(models):
        own = [[c[0] if len(c) == 1 else c[i] for c in part] for part in (train, validation)]
        orders = [
            fitting._orders(rows[i : i + 1], seeds[i : i + 1], epoch)[0].to(train[0].device)
            for epoch in range(flows.epochs)
        ]
        with fitting.seeded(seeds[i]):
            curves.append(plain_fit(model, *own, flows, orders))
    return curves


def train(way: Way, table: pd.DataFrame, flow: str, epochs: int, args: argparse.Namespace) -> dict:
    """Seconds of each phase, and the mean validation losses of the last epoch."""
    device, targets = torch.device(args.device), Targets()
    goals = targets.properties if flow == "property" else targets.lines
    flows = args.flows.model_copy(update={"epochs": epochs, "patience": epochs})
    parts = [rows_of(table, name, goals, device) for name in ("train", "validation")]
    architecture = Architecture.of(parts[0].inputs.shape[1], goals, flow == "property", flows)
    marks = [now(device)]
    with way_of(way):
        _, curves = members.fit_members(
            *parts,
            architecture,
            flows,
            list(range(way.members)),
            save=lambda state: marks.append(now(device)),
        )
    losses = {
        phase: float(np.mean([own[phase][-1][2] for own in curves]))
        for phase in ("heads", "core", "metallicity")
        if phase in curves[0]
    }
    seconds = dict(zip(members.PHASES, np.diff(marks).tolist(), strict=True))
    return {"seconds": seconds, "losses": losses}


def measure(way: Way, table: pd.DataFrame, args: argparse.Namespace) -> dict[str, Any]:
    few, more = (train(way, table, "property", epochs, args) for epochs in (FEW, MORE))
    epoch = {
        phase: (more["seconds"][phase] - few["seconds"][phase]) / (MORE - FEW)
        for phase in members.PHASES
    }
    return {
        "epoch_seconds": epoch,
        "all_phases_seconds": sum(epoch.values()),
        "first_epochs_seconds": few["seconds"],
        "losses": more["losses"],
    }


def run_stage(table: pd.DataFrame, flow: str, count: int, args: argparse.Namespace) -> dict:
    """The stage train-flow, with reading, early stopping and writing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "features.parquet", table)
        start = now(torch.device(args.device))
        train_flow(
            features=folder / "features.parquet",
            flow=flow,
            variant=VARIANT,
            flows=args.flows.model_copy(update={"members": count}),
            targets=Targets(),
            photometry=Photometry(),
            compute=Compute(device=args.device, flow_threads=args.threads),
            seed=SEED,
            checkpoints=folder / "checkpoints",
            out=folder,
        )
        seconds = now(torch.device(args.device)) - start
        history = pd.read_csv(folder / "history.csv")
        epochs = history.groupby("phase")["epoch"].max() + 1
        return {
            "flow": flow,
            "members": count,
            "seconds": seconds,
            "epochs": epochs.to_dict(),
            "telemetry": read_json(folder / "telemetry.json"),
        }


def machine(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "card": torch.cuda.get_device_name() if args.device == "cuda" else None,
        "cores": os.cpu_count(),
        "threads": args.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def run(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The result after each row, so that an interrupted run keeps what it has measured."""
    torch.set_num_threads(args.threads)
    table = features(args.galaxies)
    result: dict[str, Any] = {
        "machine": machine(args),
        "galaxies": args.galaxies,
        "settings": args.flows.model_dump(mode="json"),
        "rows": [],
        "stages": [],
    }
    for flow, count in args.stages:
        result["stages"].append(run_stage(table, flow, count, args))
        print(f"train-flow {flow}, {count}: {result['stages'][-1]['seconds']:.1f} s", flush=True)
        yield result
    train(
        WAYS[0], table[::20], "property", 1, args
    )  # so that libraries are loaded before the first measurement
    for way in WAYS:
        if args.device == "cpu" and not way.recorded and not way.plain:
            continue  # a CPU has no CUDA graphs
        row = {"name": way.name, "members": way.members, **measure(way, table, args)}
        result["rows"].append(row)
        print(f"{way.name}: {row['all_phases_seconds']:.2f} s, {row['epoch_seconds']}", flush=True)
        print(f"   {row['losses']}", flush=True)
        yield result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write or to add to")
    parser.add_argument("--galaxies", type=int, default=125_000)
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with a small flow on few galaxies"
    )
    parser.add_argument("--no-stage", action="store_true", help="leave out the stage train-flow")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    args = parser.parse_args()
    args.flows = Flows()
    args.stages = [] if args.no_stage else [("property", 5), ("property", 1), ("line", 5)]
    if args.tiny:
        small = {"encoding": 8, "encoder_hidden": [8], "head_hidden": 8, "coupling_hidden": 8}
        args.flows = Flows(**small, couplings=2, epochs=3, folds=2, batch_size=64)
        args.galaxies, args.stages = 300, [("line", 2)]
    return args


def main() -> None:
    args = parse()
    others = read_json(args.out) if args.out.exists() else {}
    for result in run(args):
        write_json(args.out, others | {args.device: result})


if __name__ == "__main__":
    main()
