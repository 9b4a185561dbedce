"""Time the training of the VAE with and without each step that makes it fast, and its roofline.

    python benchmarks/vae_training.py --out benchmarks/results/vae_training.json

Every variant trains the paper's network on the same synthetic stamps with the same seed, through
the package's own epochs, so that their losses can be compared. Then the stage train-vae itself runs
on as many galaxies as the paper's. `--tiny` tests all of it on any machine in seconds. For the
tables of docs/performance.md: python benchmarks/performance.py
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from vae_roofline import Card, measure_card, now, of_network
from vae_stamps import write_shards, write_tables

from mgsflow.config import Compute, Stamps, Vae
from mgsflow.core.files import read_json, write_json
from mgsflow.models.encoders.vae import VariationalAutoencoder
from mgsflow.sample.shards import StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training.batches import Batches
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.epochs import VaeEpochs, make_optimizer
from mgsflow.training.steps import Modes, libraries, stamp_losses
from mgsflow.training.telemetry import Telemetry
from mgsflow.training.train_vae import train_vae

SEED = 1
PAPER_STAMPS, PAPER_EPOCHS = 100_000, 100  # epochs: our choice, as the paper states no number


NO_MODES = Modes()


@dataclass(frozen=True)
class Variant:
    """One variant of the training."""

    name: str
    resident: bool = True
    precision: str = "bfloat16"
    channels_last: bool = True
    fused_adam: bool = True
    modes: Modes = NO_MODES
    batch: int = 128


ALL = Modes(blocks=True, compiled=True, captured=True, tuned=True)
PACKAGE = Variant("+ blocks of 2 x 2 pixels: the package", modes=ALL)
PLAIN = Variant(
    "plain: float32, stamps read batch by batch",
    resident=False,
    precision="float32",
    channels_last=False,
    fused_adam=False,
)
RESIDENT = replace(PLAIN, name="+ stamps resident in the GPU's memory", resident=True)
LAST = replace(RESIDENT, name="+ channels last", channels_last=True)
HALF = replace(LAST, name="+ bfloat16", precision="bfloat16")
ADAM = replace(HALF, name="+ fused Adam", fused_adam=True)
GRAPH = replace(ADAM, name="+ CUDA graph", modes=Modes(captured=True))
TUNED = replace(GRAPH, name="+ kernels tuned", modes=Modes(captured=True, tuned=True))
COMPILED = replace(TUNED, name="+ torch.compile", modes=replace(ALL, blocks=False))
# In the order of measurement: the most important first, in case time runs out
VARIANTS = [
    PACKAGE,
    replace(PACKAGE, name="the package, batches of 1024", batch=1024),
    PLAIN,
    RESIDENT,
    LAST,
    HALF,
    ADAM,
    GRAPH,
    TUNED,
    COMPILED,
    replace(PACKAGE, name="the package without torch.compile", modes=replace(ALL, compiled=False)),
    replace(PACKAGE, name="the package without the CUDA graph", modes=replace(ALL, captured=False)),
    replace(PACKAGE, name="the package without tuned kernels", modes=replace(ALL, tuned=False)),
]


class ContiguousVae(VariationalAutoencoder):
    """The network with features in torch's usual order, channels first."""

    def expanded(self, latent: Tensor) -> Tensor:
        return self.expand(latent).unflatten(1, self.shape)


class Bench:
    """Stamps on disk, settings of the network, and everything else that the variants share."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = folder
        channels, latent = ([8, 8, 8], 4) if args.tiny else ([32, 64, 128], 32)
        self.size = 16 if args.tiny else 160
        self.vae = Vae(channels=channels, latent=latent)
        self.stretch = Stretch(self.vae.softening, self.vae.stretch_scale)
        shards = 2 if args.tiny else 16
        stored = args.stamps + args.validation
        self.paths = write_shards(folder, stored, self.size, shards)
        write_tables(folder, stored, shards, *args.stage_stamps)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        index = pd.read_parquet(folder / "index.parquet")[:stored]
        self.stamps = StampSet(self.paths, index, self.stretch)
        self._sets: dict[tuple[bool, bool], list[Batches]] = {}

    def sets(self, resident: bool, blocks: bool) -> list[Batches]:
        """The training and the validation stamps."""
        key = (resident, blocks)
        if key not in self._sets:
            rows = np.split(np.arange(len(self.stamps)), [self.args.stamps])
            self._sets[key] = [
                Batches(self.stamps, part, self.device, blocks, resident) for part in rows
            ]
        return self._sets[key]

    def epochs(self, variant: Variant) -> VaeEpochs:
        """The package's epochs, with a new network."""
        torch.manual_seed(SEED)
        kind = VariationalAutoencoder if variant.channels_last else ContiguousVae
        order = torch.channels_last if variant.channels_last else torch.contiguous_format
        network = kind(3, self.size, self.vae.latent, self.vae.channels)
        network = network.to(self.device, memory_format=order)
        vae = self.vae.model_copy(
            update={"precision": variant.precision, "batch_size": variant.batch}
        )
        optimizer = make_optimizer(network, vae, self.device)
        if not variant.fused_adam:
            optimizer = torch.optim.Adam(network.parameters(), vae.learning_rate)
        sets = self.sets(variant.resident, variant.modes.blocks)
        losses = None
        if not variant.channels_last:
            losses = stamp_losses(network, self.stretch, variant.precision, self.device, order)
        return VaeEpochs(network, optimizer, *sets, vae, SEED, self.device, variant.modes, losses)


def measure(bench: Bench, variant: Variant, card: Card) -> dict[str, Any]:
    """One row: seconds per epoch, the rate after the first epoch, losses, telemetry."""
    epochs, seconds = bench.epochs(variant), []
    with libraries(variant.modes):
        for epoch in range(1, bench.args.epochs + 1):
            if epoch == 2:
                cost = Telemetry(variant.name, bench.device, interval=0.05)
                cost.__enter__()
            start = now(bench.device)
            losses = epochs.train(epoch)
            seconds.append(now(bench.device) - start)
        cost.__exit__(None, None, None)
        losses |= epochs.validate()
    rate = bench.args.stamps / statistics.median(seconds[1:])
    bound = of_network(bench.vae, bench.size, variant.batch, card)
    return {
        "epoch_seconds": seconds,
        "images_per_second": rate,
        "paper_seconds": PAPER_STAMPS * PAPER_EPOCHS / rate,
        "flops": rate * bound.flop / bound.batch,
        "bytes_per_second": rate * bound.bytes / bound.batch,
        "of_roofline": rate / bound.images_per_second,
        "losses": losses,
        "gpu": cost.summary()["gpu"],
    }


def run_stage(bench: Bench, folder: Path) -> dict[str, Any]:
    """The stage train-vae on as many galaxies as the paper's, for a few epochs."""
    count = bench.args.stage_epochs
    saves: list[float] = []
    save = Checkpoints.save

    def timed(self: Checkpoints, state: dict[str, Any]) -> None:
        start = time.perf_counter()
        save(self, state)
        saves.append(time.perf_counter() - start)

    Checkpoints.save = timed
    start = time.perf_counter()
    try:
        train_vae(
            shards=bench.paths,
            index=bench.folder / "index.parquet",
            splits=bench.folder / "splits.parquet",
            vae=bench.vae.model_copy(update={"epochs": count, "patience": count}),
            stamps=Stamps(size=bench.size),
            compute=Compute(device=bench.device.type, vae_threads=bench.args.threads),
            seed=SEED,
            checkpoints=folder / "checkpoints",
            out=folder,
        )
    finally:
        Checkpoints.save = save
    wall = time.perf_counter() - start
    seconds = pd.read_csv(folder / "history.csv")["seconds"].tolist()
    once = wall - sum(seconds) - sum(saves) + seconds[0] - statistics.median(seconds[1:])
    each = statistics.median(seconds[1:]) + statistics.median(saves)
    return {
        "galaxies": dict(zip(("train", "validation"), bench.args.stage_stamps, strict=True)),
        "wall_seconds": wall,
        "epoch_seconds": seconds,
        "checkpoint_seconds": saves,
        "once_seconds": once,
        "paper_seconds": once + PAPER_EPOCHS * each,
        "modes": read_json(folder / "model.json")["training"]["modes"],
        "telemetry": read_json(folder / "telemetry.json"),
        "validation_loss": read_json(folder / "model.json")["training"]["validation_loss"],
    }


def machine(device: torch.device) -> dict[str, Any]:
    on_gpu = device.type == "cuda"
    return {
        "card": torch.cuda.get_device_name(device) if on_gpu else None,
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory if on_gpu else None,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }


def absent(variant: Variant, bench: Bench, began: float) -> str | None:
    """Why a variant is not measured; None if it is."""
    if time.perf_counter() - began > bench.args.seconds:
        return "no time was left"
    if bench.device.type != "cuda" and variant.modes.captured:
        return "needs a GPU"
    if bench.args.tiny and variant.modes.compiled:
        return "compiling takes half a minute"
    if bench.args.only and not any(text in variant.name for text in bench.args.only):
        return "not asked for"
    return None


def run(args: argparse.Namespace, folder: Path) -> None:
    began = time.perf_counter()
    torch.set_num_threads(args.threads)
    bench = Bench(folder, args)
    print(f"{args.stamps} stamps written after {time.perf_counter() - began:.1f} s", flush=True)
    card = measure_card(bench.device, args.tiny)
    result: dict[str, Any] = {
        "machine": machine(bench.device),
        "card": asdict(card),
        "settings": {"stamps": args.stamps, "validation": args.validation, "epochs": args.epochs}
        | {"network": bench.vae.model_dump(), "size": bench.size},
        "rooflines": [
            asdict(of_network(bench.vae, bench.size, batch, card)) for batch in (128, 1024)
        ],
        "rows": [],
        "stage": None,
    }
    print(result["machine"], result["card"], result["rooflines"], flush=True)
    for number, variant in enumerate(VARIANTS):
        if args.tiny:
            variant = replace(variant, batch=variant.batch // 16)
        reason = absent(variant, bench, began)
        row: dict[str, Any] = {"name": variant.name, "batch": variant.batch}
        try:
            row |= {"not_measured": reason} if reason else measure(bench, variant, card)
        except Exception as error:  # an error in one variant must not lose the others
            row["not_measured"] = f"{type(error).__name__}: {str(error)[:300]}"
        result["rows"].append(row)
        print(f"{time.perf_counter() - began:6.1f} s {summary(row)}", flush=True)
        if number == 0 and args.stage_epochs:
            try:
                result["stage"] = run_stage(bench, folder / "stage")
            except Exception as error:
                result["stage"] = {"not_measured": f"{type(error).__name__}: {str(error)[:300]}"}
            print(f"{time.perf_counter() - began:6.1f} s {result['stage']}", flush=True)
        write_json(args.out, result)


def summary(row: dict[str, Any]) -> str:
    if "not_measured" in row:
        return f"{row['name']}: not measured: {row['not_measured']}"
    return (
        f"{row['name']}: {row['images_per_second']:,.0f} images/s, "
        f"{row['of_roofline']:.1%} of the roofline, first epoch {row['epoch_seconds'][0]:.1f} s, "
        f"loss {row['losses']['train_loss']:.3f} / {row['losses']['validation_loss']:.3f}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with a small network on few stamps"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="start no row after this time")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each variant, at least 2")
    parser.add_argument(
        "--stage-epochs", type=int, default=4, help="epochs of the stage; 0: leave it out"
    )
    parser.add_argument("--threads", type=int, default=8, help="number of CPU threads")
    parser.add_argument(
        "--only", nargs="*", help="only rows whose name contains one of these texts"
    )
    args = parser.parse_args()
    # 200 batches of 128 and an incomplete one, 25 of 1024 and an incomplete one
    args.stamps, args.validation = (70, 20) if args.tiny else (25_632, 1_280)
    args.stage_stamps = (120, 20) if args.tiny else (PAPER_STAMPS, PAPER_STAMPS // 10)
    return args


def main() -> None:
    args = parse()
    with tempfile.TemporaryDirectory() as name:
        run(args, Path(name))


if __name__ == "__main__":
    main()
