"""What the training cost: device, time, memory, energy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_facts
from mgsflow.report.names import encoder_name, training_name
from mgsflow.report.published import TRAINING
from mgsflow.report.writing import MISSING, show_seconds, write_tables

TOTAL = "All trainings"
BASELINES = {"train-conditional-vae": "Conditional VAE (baseline)"}
GIB = 2**30
JOULES_PER_KWH = 3.6e6


def table_cost(*, telemetry: list[Path], out: Path) -> None:
    """The cost of each training and their sum, from the telemetry that the trainings wrote.

    Load and energy are the GPU's as NVML measured them; without a GPU there are none to be stated.
    Last, what the paper states of its own trainings. `out` is the .csv; .json, .md and .tex lie
    beside it.
    """
    ours = pd.DataFrame([_row(path) for path in telemetry])
    total: dict[str, object] = {"training": TOTAL, "device": ""}
    for name in ("wall_seconds", "cpu_seconds"):
        total[name] = ours[name].sum()
    on_gpu = ours.pop("on_gpu")  # one energy that is not known, and the sum is not
    total["gpu_energy_kwh"] = ours.loc[on_gpu, "gpu_energy_kwh"].sum(min_count=max(1, on_gpu.sum()))
    published = [
        {"training": f"{what} (paper, published)", "device": device, "wall_seconds": seconds}
        for what, device, seconds in TRAINING
    ]
    numbers = pd.concat([ours, pd.DataFrame([total, *published])], ignore_index=True)
    write_tables(out, numbers, _shown(numbers))


def _shown(numbers: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Training": numbers["training"],
            "Device": numbers["device"],
            "Wall time": numbers["wall_seconds"].map(show_seconds),
            "CPU time": numbers["cpu_seconds"].map(show_seconds),
            "Peak memory": [_show(value, "{:.1f} GiB") for value in numbers["peak_memory_gib"]],
            "GPU memory": [_show(value, "{:.1f} GiB") for value in numbers["gpu_memory_gib"]],
            "GPU load": [_show(value, "{:.0f} %") for value in numbers["gpu_load_percent"]],
            "GPU energy": [_show(value, "{:.3g} kWh") for value in numbers["gpu_energy_kwh"]],
        }
    )


def _row(path: Path) -> dict:
    facts = read_facts(
        path,
        *("stage", "device", "on_gpu", "gpu", "reason"),
        *("wall_seconds", "cpu_seconds", "peak_memory_bytes"),
    )
    gpu = facts["gpu"] or {}
    return {
        "training": _name(facts),
        "device": facts["device"],
        "on_gpu": facts["on_gpu"],
        "wall_seconds": facts["wall_seconds"],
        "cpu_seconds": facts["cpu_seconds"],
        "peak_memory_gib": facts["peak_memory_bytes"] / GIB,
        "gpu_memory_gib": _fact(gpu, "memory_allocated_max_bytes") / GIB,
        "gpu_load_percent": _fact(gpu, "utilisation_mean_percent"),
        "gpu_energy_kwh": _fact(gpu, "energy_joules") / JOULES_PER_KWH,
        "remark": facts["reason"] or "",
    }


def _fact(gpu: dict, name: str) -> float:
    value = gpu.get(name)
    return float("nan") if value is None else float(value)


def _name(facts: dict) -> str:
    if facts["stage"] == "train-flow":
        return training_name(facts["flow"], facts["variant"])
    stage = facts["stage"]
    return BASELINES.get(stage) or encoder_name(stage.removeprefix("train-"))


def _show(value: float, pattern: str) -> str:
    return MISSING if pd.isna(value) else pattern.format(value)
