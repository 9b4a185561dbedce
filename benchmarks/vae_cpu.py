"""Time the training of the VAE on a CPU, variant by variant, relative to the plain loop.

    python benchmarks/vae_cpu.py --out benchmarks/results/vae_cpu.json

The plain loop is what one writes first: float32, channels first, a DataLoader over the shards by
h5py, asinh on every batch. Each row trains the paper's network on the same synthetic stamps with
the same seed, noise and order, for the same number of epochs. Times are CPU times, so that other
work on the machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from vae_training import HALF, LAST, PLAIN, SEED, Bench, ContiguousVae, machine

from mgsflow.core.files import write_json
from mgsflow.core.machine import processor
from mgsflow.core.seeds import derive_seed, generator
from mgsflow.models.encoders.vae import kl_divergence, reconstruction_error
from mgsflow.training.epochs import NAME
from mgsflow.training.steps import Modes

STAMPS = 512
MAPPED = replace(PLAIN, name="+ shards mapped into memory, stretched by table")
CHANNELS = replace(LAST, name="+ channels last", resident=False)
PACKAGE = replace(HALF, name="+ bfloat16, fused Adam: the package", resident=False, fused_adam=True)
COMPILED = replace(PACKAGE, name="the package, compiled", modes=Modes(compiled=True))
BLOCKS = replace(PACKAGE, name="the package, blocks of 2 x 2 pixels", modes=Modes(blocks=True))
VARIANTS = [MAPPED, CHANNELS, PACKAGE, COMPILED, BLOCKS]


class H5Stamps(Dataset):
    """Stamps read one by one from their HDF5 shards, as they are stored."""

    def __init__(self, paths: list[Path], count: int) -> None:
        self._files = [h5py.File(path) for path in paths]
        places = [(i, row) for i, f in enumerate(self._files) for row in range(len(f["stamps"]))]
        self._places = places[:count]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: int) -> Tensor:
        shard, row = self._places[item]
        return torch.from_numpy(self._files[shard]["stamps"][row].astype(np.float32))


class PlainLoop:
    """Epochs of the plain loop over the training stamps."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        torch.manual_seed(SEED)
        self._network = ContiguousVae(3, bench.size, bench.vae.latent, bench.vae.channels)
        self._optimizer = torch.optim.Adam(self._network.parameters(), bench.vae.learning_rate)
        self._stamps = H5Stamps(bench.paths, bench.args.stamps)

    def train(self, epoch: int) -> dict[str, float]:
        stretch, total = self._bench.stretch, 0.0
        order = generator(SEED, NAME, "order", epoch).permutation(len(self._stamps))
        noise = torch.Generator().manual_seed(derive_seed(SEED, NAME, "noise", epoch))
        for pixels in DataLoader(self._stamps, self._bench.vae.batch_size, sampler=order.tolist()):
            stamps = torch.asinh(pixels / stretch.softening) / stretch.scale
            drawn = torch.randn((len(stamps), self._bench.vae.latent), generator=noise)
            reconstruction, mean, log_variance = self._network(stamps, drawn)
            error = reconstruction_error(stamps, reconstruction)
            kl = kl_divergence(mean, log_variance)
            loss = error.mean() + self._bench.vae.kl_weight * kl.mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += loss.item() * len(stamps)
        return {"train_loss": total / len(self._stamps)}


def measure(epochs: Any, args: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds per epoch, images per second after the first epoch, and the last loss."""
    seconds = []
    for epoch in range(1, args.epochs + 1):
        start = time.process_time()
        losses = epochs.train(epoch)
        seconds.append(time.process_time() - start)
    rate = args.stamps / statistics.median(seconds[1:])
    return {
        "epoch_cpu_seconds": seconds,
        "images_per_cpu_second": rate,
        "train_loss": losses["train_loss"],
    }


def run(args: argparse.Namespace, folder: Path) -> None:
    torch.set_num_threads(args.threads)
    bench = Bench(folder, args)
    result: dict[str, Any] = {
        "machine": machine(bench.device) | {"threads": args.threads, "cpu": processor()},
        "settings": {"stamps": args.stamps, "epochs": args.epochs, "size": bench.size},
        "rows": [],
    }
    plain = "plain: float32, channels first, DataLoader over h5py"
    for name, variant in [(plain, None), *((v.name, v) for v in VARIANTS)]:
        if args.tiny and variant is COMPILED:
            continue  # compilation takes half a minute
        epochs = PlainLoop(bench) if variant is None else bench.epochs(variant)
        row = {"name": name, **measure(epochs, args)}
        first = result["rows"][0] if result["rows"] else row
        row["ratio"] = row["images_per_cpu_second"] / first["images_per_cpu_second"]
        result["rows"].append(row)
        print(
            f"{name}: {row['images_per_cpu_second']:.1f} images a CPU second, "
            f"{row['ratio']:.2f} times the plain loop's, loss {row['train_loss']:.3f}",
            flush=True,
        )
        write_json(args.out, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--tiny", action="store_true", help="test the benchmark with a small network on few stamps"
    )
    parser.add_argument("--stamps", type=int, default=STAMPS)
    parser.add_argument("--epochs", type=int, default=3, help="at least 2")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    args = parser.parse_args()
    if args.tiny:
        args.stamps = 140
    args.validation = 20
    args.stage_stamps = args.stamps, args.validation
    with tempfile.TemporaryDirectory() as name:
        run(args, Path(name))


if __name__ == "__main__":
    main()
