"""What the training cost: device, time, memory, energy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_json
from mgsflow.report.writing import MISSING, show_seconds, write_tables

GIB = 2**30
JOULES_PER_KWH = 3.6e6


def table_cost(*, telemetry: list[Path], out: Path) -> None:
    """The cost of each training and their sum, from the telemetry that the trainings wrote.

    Energy is the GPU's, as NVML measured it; without a GPU there is none to be stated. `out` is
    the .csv; .md and .tex beside it.
    """
    numbers = pd.DataFrame([_row(path) for path in telemetry])
    total = {"training": "All trainings", "device": ""}
    for name in ("wall_seconds", "cpu_seconds", "gpu_energy_kwh"):
        total[name] = numbers[name].sum(min_count=1)
    numbers = pd.concat([numbers, pd.DataFrame([total])], ignore_index=True)
    shown = pd.DataFrame(
        {
            "Training": numbers["training"],
            "Device": numbers["device"],
            "Wall time": numbers["wall_seconds"].map(show_seconds),
            "CPU time": numbers["cpu_seconds"].map(show_seconds),
            "Peak memory": [_show(value, "{:.1f} GiB") for value in numbers["peak_memory_gib"]],
            "GPU energy": [_show(value, "{:.3g} kWh") for value in numbers["gpu_energy_kwh"]],
        }
    )
    write_tables(out, numbers, shown)


def _row(path: Path) -> dict:
    facts = read_json(path)
    gpu = facts["gpu"] or {}
    return {
        "training": _name(path, facts),
        "device": facts["device"],
        "wall_seconds": facts["wall_seconds"],
        "cpu_seconds": facts["cpu_seconds"],
        "peak_memory_gib": facts["peak_memory_bytes"] / GIB,
        "gpu_energy_kwh": gpu.get("energy_joules", float("nan")) / JOULES_PER_KWH,
        "remark": facts["reason"] or "",
    }


def _name(path: Path, facts: dict) -> str:
    """The model's folder; of a flow, branch and variant."""
    parts = 2 if facts["stage"] == "train-flow" else 1
    return " ".join(path.parent.parts[-parts:])


def _show(value: float, pattern: str) -> str:
    return MISSING if pd.isna(value) else pattern.format(value)
