"""The tables of docs/performance.md, from the results of vae_training.py and sampling.py.

python benchmarks/performance.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vae_roofline import Card, Roofline, of_network

from mgsflow.config import Vae
from mgsflow.core.files import read_json

RESULTS = Path(__file__).parent / "results"
# What rows are called that were measured while the package was another (docs/performance.md)
_NAMES = {
    "+ blocks of 2 x 2 pixels": "+ blocks of 2 x 2 pixels: the package",
    "+ first and last layer as own kernels: the package": "own kernels for the first and last "
    "layer: tried, not kept",
    "the package, batches of 1024": "the same, batches of 1024",
    "all: what the package does on a GPU": "first run: the package, asinh at every step",
    "all, batches of 1024": "first run: the same, batches of 1024",
}
_FIRST = ("all: what the package does on a GPU", "all, batches of 1024")
# Published by NVIDIA (A100 data sheet): dense bfloat16, memory of the 40 GB and 80 GB SXM cards
_A100 = {"A100 40 GB": Card(312e12, 1.555e12), "A100 80 GB": Card(312e12, 2.039e12)}
_PAPER = 100_000 * 100  # stamps times epochs


def training(result: dict[str, Any], first: dict[str, Any]) -> str:
    """A row a variant: the steps of the package in the order in which they add up, then others."""
    rows = sorted(result["rows"], key=_position)
    rows += [row for row in first["rows"] if row["name"] in _FIRST]
    lines = [
        "| variant | batch | images/s | minutes for 100,000 x 100 | TFLOP/s | TB/s | of the "
        "roofline | W | J per 1000 images | loss, training | validation |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stamps = (result if row in result["rows"] else first)["settings"]["stamps"]
        lines.append(_training_row(row, stamps))
    return "\n".join(lines)


def _position(row: dict[str, Any]) -> int:
    """`plain` and the steps added to it first, the kernels tried last but one, then the rest."""
    name = row["name"]
    tried = "own kernels" in name or name.startswith("the package")
    return 2 if "not_measured" in row else 1 if tried else 0


def _training_row(row: dict[str, Any], stamps: int) -> str:
    name = f"| {_NAMES.get(row['name'], row['name'])} | {row['batch']} |"
    if "not_measured" in row:
        return f"{name} not measured: {row['not_measured']} |" + " |" * 8
    gpu, losses = row["gpu"], row["losses"]
    power = energy = "–"
    if gpu is not None:
        images = stamps * (len(row["epoch_seconds"]) - 1)
        power = f"{gpu['power_mean_watts']:.0f}"
        energy = f"{1000 * gpu['energy_joules'] / images:.1f}"
    return (
        f"{name} {row['images_per_second']:,.0f} | {row['paper_seconds'] / 60:.1f} | "
        f"{row['flops'] / 1e12:.0f} | {row['bytes_per_second'] / 1e12:.2f} | "
        f"{row['of_roofline']:.1%} | {power} | {energy} | {losses['train_loss']:.1f} | "
        f"{losses['validation_loss']:.1f} |"
    )


def stages(results: dict[str, dict[str, Any]]) -> str:
    """The stage train-vae as a whole, a row a result."""
    lines = [
        "| train-vae | epochs run | before the second epoch, s | an epoch, s | a checkpoint, s | "
        "100 epochs, s | memory of the GPU, GB | mean W | peak memory of the host, GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        stage = result["stage"]
        gpu = stage["telemetry"]["gpu"]
        epochs = stage["epoch_seconds"]
        saves = stage["checkpoint_seconds"]
        host = stage["telemetry"]["peak_memory_bytes"]
        lines.append(
            f"| {name} | {len(epochs)} | {stage['once_seconds']:.1f} | {_median(epochs[1:]):.2f} | "
            f"{_median(saves):.2f} | {stage['paper_seconds']:.0f} | "
            f"{gpu['memory_max_bytes'] / 1e9:.1f} | {gpu['power_mean_watts']:.0f} | "
            f"{host / 1e9:.1f} |"
        )
    return "\n".join(lines)


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2


def rooflines(result: dict[str, Any]) -> str:
    """What bounds a step: of the measured card, and of A100 cards by their published rates."""
    share = next(r["of_roofline"] for r in result["rows"] if r["name"].startswith("+ blocks"))
    cards = {f"{result['machine']['card']}, measured": Card(**result["card"])} | _A100
    lines = [
        "| card | bfloat16, TFLOP/s | memory, TB/s | bound, batches of 128, images/s | of 1024 | "
        f"100,000 x 100 at {share:.1%} of the bound, minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, card in cards.items():
        small, large = (_bound(result, batch, card) for batch in (128, 1024))
        minutes = _PAPER / (share * small.images_per_second) / 60
        lines.append(
            f"| {name} | {card.flops / 1e12:.0f} | {card.bandwidth / 1e12:.2f} | "
            f"{small.images_per_second:,.0f} | {large.images_per_second:,.0f} | {minutes:.1f} |"
        )
    return "\n".join(lines)


def _bound(result: dict[str, Any], batch: int, card: Card) -> Roofline:
    network = result["settings"]["network"]
    known = {name: network[name] for name in ("latent", "channels")}
    return of_network(Vae(**known), result["settings"]["size"], batch, card)


def sampling(result: dict[str, Any]) -> str:
    """Seconds for all draws, by device."""
    devices = sorted(result)
    heads = [result[d]["machine"]["card"] or "CPU, one thread" for d in devices]
    lines = [f"| seconds for 1000 galaxies x 1000 draws | {' | '.join(heads)} |"]
    lines.append("|---" * (1 + len(devices)) + "|")
    for rows in zip(*(result[d]["rows"] for d in devices), strict=True):
        values = " | ".join(f"{row['seconds']:.3g}" for row in rows)
        lines.append(f"| {rows[0]['name']} | {values} |")
    return "\n".join(lines)


def tables(folder: Path = RESULTS) -> list[str]:
    """All tables, from the results in `folder`."""
    second, first = (read_json(folder / f"vae_training{n}.json") for n in ("", "_first"))
    ran = {"first run": first, "second run, with the kernels that were not kept": second}
    return [
        training(second, first),
        stages(ran),
        rooflines(second),
        sampling(read_json(folder / "sampling.json")),
    ]


if __name__ == "__main__":
    print(*tables(), sep="\n\n")
