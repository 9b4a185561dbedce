"""Renew the tables of docs/performance.md from the results of the benchmarks in this folder.

python benchmarks/performance.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cost_growth import SETS
from growth_tables import growth, startup, streaming
from vae_roofline import Card, Roofline, of_network

from mgsflow.config import Vae
from mgsflow.core.files import read_json

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
# Titles of rows that were measured with an earlier package (docs/performance.md)
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
_PHASES = ("heads", "means", "core", "metallicity")
_PAPER = 100_000 * 100  # stamps times epochs


def training(result: dict[str, Any], first: dict[str, Any]) -> str:
    """One row per variant: the steps of the package in the order of their addition, then others."""
    rows = sorted(result["rows"], key=_position)
    rows += [row for row in first["rows"] if row["name"] in _FIRST]
    lines = [
        "| variant | batch size | images/s | minutes for 100,000 images x 100 epochs | TFLOP/s | "
        "TB/s | fraction of the roofline | mean power, W | training loss | validation loss |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_training_row(row) for row in rows]
    return "\n".join(lines)


def _position(row: dict[str, Any]) -> int:
    """First `plain` and the steps added to it, then what was tried, then what was not measured."""
    name = row["name"]
    tried = "own kernels" in name or name.startswith("the package")
    return 2 if "not_measured" in row else 1 if tried else 0


def _training_row(row: dict[str, Any]) -> str:
    name = f"| {_NAMES.get(row['name'], row['name'])} | {row['batch']} |"
    if "not_measured" in row:
        return f"{name} not measured: {row['not_measured']} |" + " |" * 7
    gpu, losses = row["gpu"], row["losses"]
    power = "–" if gpu is None else f"{gpu['power_mean_watts']:.0f}"
    return (
        f"{name} {row['images_per_second']:,.0f} | {row['paper_seconds'] / 60:.1f} | "
        f"{row['flops'] / 1e12:.0f} | {row['bytes_per_second'] / 1e12:.2f} | "
        f"{row['of_roofline']:.1%} | {power} | {losses['train_loss']:.1f} | "
        f"{losses['validation_loss']:.1f} |"
    )


def stages(results: dict[str, dict[str, Any]]) -> str:
    """The stage train-vae as a whole, one row per result."""
    lines = [
        "| train-vae | epochs run | before the second epoch, s | per epoch, s | per checkpoint, "
        "s | 100 epochs, s | GPU memory, GB | mean power, W | peak host memory, GB |",
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


def flows(result: dict[str, Any]) -> str:
    """Seconds per epoch of every phase by method, and the losses after equally many epochs."""
    lines = [
        "| method | heads | heads of the folds | core flow | metallicity flow | sum | speed per "
        "member relative to the plain loop | validation losses of heads, core, metallicity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    plain = next(row for row in result["rows"] if row["name"] == "one member, the plain loop")
    for row in result["rows"]:
        each = " | ".join(f"{row['epoch_seconds'][phase]:.3f}" for phase in _PHASES)
        ratio = plain["all_phases_seconds"] * row["members"] / row["all_phases_seconds"]
        losses = ", ".join(f"{row['losses'][phase]:.3f}" for phase in _PHASES if phase != "means")
        lines.append(
            f"| {row['name']} | {each} | {row['all_phases_seconds']:.2f} | {ratio:.1f} | {losses} |"
        )
    return "\n".join(lines)


def flow_stages(result: dict[str, Any]) -> str:
    """The complete stage train-flow. Energy is mean power times the time of the training, because
    the counter of the card was read later, after work of the CPU.
    """
    lines = [
        "| train-flow | members | time, s | largest number of epochs (heads, folds, core, "
        "metallicity) | GPU memory, GB | mean power, W | energy, kJ |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage in result["stages"]:
        gpu, epochs = stage["telemetry"]["gpu"], stage["epochs"]
        joules = gpu["power_mean_watts"] * stage["telemetry"]["wall_seconds"]
        folds = max(count for phase, count in epochs.items() if "fold" in phase)
        most = [epochs["heads"], folds, epochs["core"], epochs.get("metallicity", "–")]
        lines.append(
            f"| {stage['flow']} flow | {stage['members']} | {stage['seconds']:.1f} | "
            f"{', '.join(map(str, most))} | {gpu['memory_max_bytes'] / 1e9:.1f} | "
            f"{gpu['power_mean_watts']:.0f} | {joules / 1000:.1f} |"
        )
    return "\n".join(lines)


def cpu_training(result: dict[str, Any]) -> str:
    """Training of the VAE on a CPU, relative to the plain loop."""
    epochs = result["settings"]["epochs"]
    lines = [
        "| variant | images per CPU second | speed relative to the plain loop | training loss "
        f"after {epochs} epochs |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['name']} | {row['images_per_cpu_second']:.0f} | {row['ratio']:.2f} | "
            f"{row['train_loss']:.1f} |"
        )
    return "\n".join(lines)


def rooflines(result: dict[str, Any]) -> str:
    """Bounds of a step: for the measured card, and for A100 cards by their published rates."""
    share = next(r["of_roofline"] for r in result["rows"] if r["name"].startswith("+ blocks"))
    cards = {f"{result['machine']['card']}, measured": Card(**result["card"])} | _A100
    lines = [
        "| card | bfloat16, TFLOP/s | memory, TB/s | bound at batches of 128, images/s | bound at "
        "batches of 1024, images/s | minutes for 100,000 images x 100 epochs at "
        f"{share:.1%} of the bound |",
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
    """Seconds for all draws, by device; "not measured" if a device has no such row."""
    devices = sorted(result)
    heads = [result[d]["machine"]["card"] or "CPU, one thread" for d in devices]
    lines = [f"| seconds for 1000 galaxies x 1000 draws | {' | '.join(heads)} |"]
    lines.append("|---" * (1 + len(devices)) + "|")
    found = {d: {row["name"]: row.get("seconds") for row in result[d]["rows"]} for d in devices}
    for name in dict.fromkeys(name for rows in found.values() for name in rows):
        values = (found[d].get(name) for d in devices)
        cells = ("not measured" if value is None else f"{value:.3g}" for value in values)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(folder: Path = RESULTS) -> dict[str, str]:
    """All tables by name, from the results in `folder`."""
    names = ("", "_first", "_h100")
    second, first, h100 = (read_json(folder / f"vae_training{name}.json") for name in names)
    ran = {
        "H200, first run": first,
        "H200, second run, with the kernels that were not kept": second,
        "H100": h100,
    }
    trained = read_json(folder / "flow_training.json")
    grown = read_json(folder / "cost_growth.json")
    return {
        "VAE on the H200": training(second, first),
        "VAE, the stage": stages(ran),
        "VAE on the H100": training(h100, {"rows": []}),
        "VAE, rooflines": rooflines(second),
        "VAE on a CPU": cpu_training(read_json(folder / "vae_cpu.json")),
        "flows on the H100": flows(trained["cuda"]),
        "flows, the stage": flow_stages(trained["cuda"]),
        "flows on a CPU": flows(trained["cpu"]),
        "sampling": sampling(read_json(folder / "sampling.json")),
        "streaming": streaming(read_json(folder / "streaming.json")),
        **{f"growth, {name}": growth(grown[name]) for name in SETS if name in grown},
        "start-up": startup(read_json(folder / "startup.json")),
    }


def renew(page: str, shown: dict[str, str]) -> str:
    """`page` with the tables `shown`, each replacing the one below the comment with its name."""
    for name, table in shown.items():
        place = re.compile(rf"(<!-- {re.escape(name)} -->\n)(\|.*\n)*")
        if not place.search(page):
            raise SystemExit(f"{PAGE} has no place for a table: <!-- {name} -->")
        page = place.sub(lambda found, table=table: f"{found[1]}{table}\n", page, count=1)
    return page


if __name__ == "__main__":
    PAGE.write_text(renew(PAGE.read_text(), tables()))
    print(f"tables renewed: {PAGE}")
