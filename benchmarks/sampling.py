"""Time joint draws of the paper's flows, compared with stock nflows and zuko of the same size.

    python benchmarks/sampling.py --device cpu --out benchmarks/results/sampling.json

1000 galaxies with 1000 draws each: through one joint flow (four variables, twelve couplings, a
context of 256, hidden layers of 128), for ours, nflows' and zuko's, all galaxies at once and in
blocks; and through `Posterior.sample` with both branches of the paper's Figure 1, from inputs to
all nine quantities in their units. The weights are random, which costs the same. The rows of a
device replace those of the same device in --out.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms.base import CompositeTransform
from nflows.transforms.coupling import AffineCouplingTransform
from torch import Tensor, nn
from vae_roofline import now

from mgsflow.config.models import Flows
from mgsflow.core.files import read_json, write_json
from mgsflow.core.quantities import CORE_PROPERTIES, LINES, PROPERTIES
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.flows import joint_flow
from mgsflow.models.standardise import Standardiser
from mgsflow.posterior.ensemble import Ensemble
from mgsflow.posterior.mixture import BLOCK_ROWS
from mgsflow.posterior.posterior import Posterior

INPUTS = 32 + 32 + 4 + 5  # latent means and standard deviations, colours, magnitudes
PASSES = 3  # the first is not counted; the fastest of the others counts
SEED = 1


class StockConditioner(nn.Module):
    """The conditioner, which nflows leaves to its user: an MLP with the same layers as ours."""

    def __init__(self, inputs: int, outputs: int, flows: Flows) -> None:
        super().__init__()
        hidden = flows.coupling_hidden
        self.layers = nn.Sequential(
            nn.Linear(inputs + flows.encoding, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, outputs),
        )

    def forward(self, inputs: Tensor, context: Tensor) -> Tensor:
        return self.layers(torch.cat([inputs, context], dim=1))


def stock_flow(dimensions: int, flows: Flows) -> Flow:
    """nflows' own affine couplings and its own sampling."""
    layers = []
    for number in range(flows.couplings):
        mask = [(i + number) % 2 for i in range(dimensions)]
        layers.append(
            AffineCouplingTransform(mask, lambda given, out: StockConditioner(given, out, flows))
        )
    return Flow(CompositeTransform(layers), StandardNormal([dimensions]))


def zuko_flow(dimensions: int, flows: Flows) -> nn.Module | None:
    """zuko's affine couplings with as many layers in the conditioner; None without zuko."""
    try:
        import zuko
    except ImportError:
        return None
    hidden = [flows.coupling_hidden] * 2
    flow = zuko.flows.NICE(dimensions, flows.encoding, flows.couplings, hidden_features=hidden)
    return flow.eval()


def posterior(flows: Flows) -> Posterior:
    """Both branches, one member each, with random weights."""
    names = [f"input_{i:02d}" for i in range(INPUTS)]
    scale = Standardiser(np.zeros(INPUTS), np.ones(INPUTS))
    ensembles = []
    for targets, detects in ((list(PROPERTIES), True), (list(LINES), False)):
        branch = Branch(Architecture.of(INPUTS, targets, detects, flows)).eval()
        own = Standardiser(np.zeros(len(targets)), np.ones(len(targets)))
        ensembles.append(Ensemble("images", names, targets, scale, own, [branch]))
    return Posterior(ensembles)


def time_of(work: Callable[[], object], device: torch.device) -> dict[str, float | None]:
    """Seconds of the fastest pass, and the GPU's peak memory in bytes."""
    seconds = []
    for _ in range(PASSES):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = now(device)
        work()
        seconds.append(now(device) - start)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"seconds": min(seconds[1:]), "peak_memory_bytes": peak}


@torch.inference_mode()
def run(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    device, flows = torch.device(args.device), Flows()
    galaxies, draws = (20, 10) if args.tiny else (1000, 1000)
    context = torch.randn(galaxies, flows.encoding, device=device)
    ours = joint_flow(len(CORE_PROPERTIES), flows.encoding, flows).to(device).eval()
    stock = stock_flow(len(CORE_PROPERTIES), flows).to(device).eval()
    zuko = zuko_flow(len(CORE_PROPERTIES), flows)
    both = posterior(flows).to(device)
    inputs = np.random.default_rng(SEED).standard_normal((galaxies, INPUTS))
    block = max(1, BLOCK_ROWS["cpu"] // draws)

    def split(sample: Callable[[Tensor], object], size: int) -> Callable[[], None]:
        """`sample` applied to `size` galaxies at a time."""

        def work() -> None:
            for start in range(0, galaxies, size):
                sample(context[start : start + size])

        return work

    samplers: dict[str, Callable[[Tensor], object] | None] = {
        "nflows": lambda given: stock.sample(draws, given),
        "zuko": None if zuko is None else lambda given: zuko.to(device)(given).sample((draws,)),
        "ours": lambda given: ours.sample(draws, given),
    }
    works: dict[str, Callable[[], object] | None] = {}
    for way, blocks in (("all galaxies at once", False), ("in blocks that a cache holds", True)):
        for whose, sample in samplers.items():
            size = block if blocks else galaxies
            works[f"joint flow, {whose}, {way}"] = None if sample is None else split(sample, size)
    works["Posterior.sample, all nine quantities"] = lambda: both.sample(inputs, draws, SEED)
    rows = []
    for name, work in works.items():
        if work is None:
            rows.append({"name": name, "not_measured": "zuko is not installed"})
            continue
        rows.append({"name": name, **time_of(work, device)})
        print(f"{args.device}: {name}: {rows[-1]['seconds']:.3f} s", flush=True)
    return {"galaxies": galaxies, "draws": draws, "machine": machine(device), "rows": rows}


def machine(device: torch.device) -> dict[str, Any]:
    return {
        "card": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write or to add to")
    parser.add_argument("--tiny", action="store_true", help="test the benchmark with few galaxies")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    args = parser.parse_args()
    result = read_json(args.out) if args.out.exists() else {}
    write_json(args.out, result | {args.device: run(args)})


if __name__ == "__main__":
    main()
