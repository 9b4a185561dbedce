"""The flows beside the exact posteriors: bias, width, coverage, and what they lose in nats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.quantities import in_table_order, short_name
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_notes, read_table
from mgsflow.evaluation.bootstrap import bootstrap
from mgsflow.report.writing import MISSING, show, show_intervals, write_tables

JOINT = "joint"
NAMES = {JOINT: "Properties, jointly"}
LEVELS = {"68": 0.68, "95": 0.95}
DENSITIES = pd.Index(["exact_log_density", "flow_log_density", "exact_bias", "flow_bias"])
RESAMPLES = 500
LEAST_WIDTH = 1e-9  # of an exact posterior that is a single value: it has no ratio


def table_oracle(*, oracle: Path, seed: int, out: Path) -> None:
    """Summarise the stage oracle's table; `out` is the .csv, with .json, .md and .tex beside it.

    A row a quantity: bias, the flows' mean less the exact one, in half-widths of the exact 68%
    interval; the ratio of these widths; coverage of both, and its difference in points; the gap,
    the mean of the exact posterior's log-density at the truth less the flows', in nats. Each with
    the bootstrap's 95% interval. The bias of the gap's estimate stands beside it.
    """
    table = read_table(oracle)
    rows = [  # JOINT is no quantity: it comes last
        _row(target, table[table["target"] == target], seed)
        for target in in_table_order(table["target"])
    ]
    notes = read_notes(oracle)
    numbers = pd.DataFrame(rows).assign(**notes)
    write_tables(out, numbers, shown(numbers))


def _row(target: str, part: pd.DataFrame, seed: int) -> dict[str, float]:
    row: dict[str, float] = {"target": target, "n": len(part)}
    if target != JOINT:
        row |= _widths(part, target, seed)
        row |= _coverages(part, target, seed)
    part = part.reindex(columns=[*part.columns, *DENSITIES.difference(part.columns)])
    gap = (part["exact_log_density"] - part["flow_log_density"]).dropna().to_numpy()
    row |= _with_interval("gap", gap, derive_seed(seed, "oracle", target, "gap"))
    bias = (part["exact_bias"] - part["flow_bias"]).dropna()
    return row | {"gap_n": len(gap), "gap_bias": float(bias.mean())}


def _coverages(part: pd.DataFrame, target: str, seed: int) -> dict[str, float]:
    """Of both, and the flows' less the exact ones' on the same galaxies: noise that they share."""
    found: dict[str, float] = {}
    for name, level in LEVELS.items():
        inside = {
            whose: (np.abs(part[f"{whose}_pit"] - 0.5) < level / 2).to_numpy(float)
            for whose in ("exact", "flow")
        }
        found |= {f"{whose}_coverage_{name}": float(v.mean()) for whose, v in inside.items()}
        found |= _with_interval(
            f"excess_{name}",
            inside["flow"] - inside["exact"],
            derive_seed(seed, "oracle", target, "coverage", name),
        )
    return found


def _widths(part: pd.DataFrame, target: str, seed: int) -> dict[str, float]:
    exact, flow = ((part[f"{w}_q84"] - part[f"{w}_q16"]) / 2 for w in ("exact", "flow"))
    wide = exact > LEAST_WIDTH
    bias = ((part["flow_mean"] - part["exact_mean"]) / exact)[wide].to_numpy()
    ratio = (flow / exact)[wide].to_numpy()
    return (
        _with_interval("bias", bias, derive_seed(seed, "oracle", target, "bias"))
        | {"scatter": float(np.sqrt(np.mean(bias**2)))}
        | _with_interval("width_ratio", ratio, derive_seed(seed, "oracle", target, "width"))
    )


def _with_interval(name: str, values: np.ndarray, seed: int) -> dict[str, float]:
    return bootstrap(lambda v: float(np.mean(v)), (values,), RESAMPLES, seed).columns(name)


def shown(numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the table, one text a cell."""
    refused = f"Galaxies ({numbers['refused'].iloc[0]} refused)"
    names = [NAMES.get(target) or short_name(target) for target in numbers["target"]]
    cells = pd.DataFrame({"Quantity": names, refused: numbers["n"].astype(str)})
    for head, name in {"Bias": "bias", "Width ratio": "width_ratio"}.items():
        cells[head] = show_intervals(numbers, name, 2)
    for whose in ("exact", "flow"):
        pairs = zip(*(numbers[f"{whose}_coverage_{name}"] for name in LEVELS), strict=True)
        cells[f"68 / 95%, {whose}"] = [
            MISSING if np.isnan(a) else f"{100 * a:.1f} / {100 * b:.1f}" for a, b in pairs
        ]
    for name in LEVELS:
        cells[f"{name}%, flow − exact"] = show_intervals(numbers, f"excess_{name}", 1, factor=100)
    cells["Gap (nats)"] = show_intervals(numbers, "gap", 3)
    cells["Bias of the gap"] = [show(value, 3) for value in numbers["gap_bias"]]
    return cells
