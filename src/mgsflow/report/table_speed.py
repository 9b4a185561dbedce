"""How long a galaxy takes from stamp and magnitudes to joint draws; training apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.files import read_facts
from mgsflow.report.names import encoder_name, training_name
from mgsflow.report.writing import MISSING, show_seconds, write_tables

STEPS = {
    "reading": "Reading the stamp",
    "encoding": "Encoding it",
    "sampling": "Sampling",
    "total": "From stamp and magnitudes to draws",
}


def table_speed(*, speed: Path, out: Path) -> None:
    """Seconds a galaxy by step, of many together and of one alone; then each training's time.

    `out` is the .csv; .json, .md and .tex beside it.
    """
    facts = read_facts(speed, "batch", "single", "draws", "training", "device", "threads")
    rows = [
        (_step(key, facts["draws"]), facts["batch"][key], facts["single"][key])
        for key in STEPS
        if facts["batch"][key] is not None  # a run without stamps has two steps less
    ]
    rows += [
        (f"{_model(name)}, training (once)", training["wall_seconds"], None)
        for name, training in sorted(facts["training"].items(), reverse=True)
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


def _step(key: str, draws: int) -> str:
    return f"{STEPS[key]} ({draws} joint draws)" if key == "sampling" else STEPS[key]


def _model(name: str) -> str:
    """A training by its name in the speed's account: `vae`, `property/VARIANT`, `line/VARIANT`."""
    return training_name(*name.split("/", 1)) if "/" in name else encoder_name(name)


def _show(seconds: float | None) -> str:
    return MISSING if seconds is None or pd.isna(seconds) else show_seconds(seconds)
