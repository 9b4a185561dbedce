"""How long a galaxy takes from stamp and magnitudes to joint draws; training apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.report.reading import read_facts
from mgsflow.report.writing import MISSING, show_seconds, write_tables

STEPS = {
    "reading": "Reading the stamp",
    "encoding": "Encoding it",
    "sampling": "Sampling",
    "total": "From stamp and magnitudes to draws",
}


def table_speed(*, speed: Path, out: Path) -> None:
    """Seconds a galaxy by step, of many together and of one alone; then each training's time.

    `out` is the .csv; .md and .tex beside it.
    """
    facts = read_facts(speed, "batch", "single", "draws", "training", "device", "threads")
    rows = []
    for key, name in STEPS.items():
        label = f"{name} ({facts['draws']} joint draws)" if key == "sampling" else name
        rows.append((label, facts["batch"][key], facts["single"][key]))
    rows += [
        (f"Training, once: {model}", training["wall_seconds"], None)
        for model, training in sorted(facts["training"].items())
    ]
    numbers = pd.DataFrame(rows, columns=["step", "seconds_batch", "seconds_single"])
    numbers["device"], numbers["threads"] = facts["device"], facts["threads"]
    many = f"A galaxy, of {facts['batch']['galaxies']} at once"
    shown = pd.DataFrame(
        {
            f"On {facts['device']}, threads: {facts['threads']}": numbers["step"],
            many: [_show(value) for value in numbers["seconds_batch"]],
            "A galaxy alone": [_show(value) for value in numbers["seconds_single"]],
        }
    )
    write_tables(out, numbers, shown)


def _show(seconds: float | None) -> str:
    return MISSING if seconds is None or pd.isna(seconds) else show_seconds(seconds)
