"""The verdicts on the posteriors: calibrated, too narrow, too wide, biased, and by how much."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from mgsflow.core.quantities import short_name
from mgsflow.core.tables import read_table
from mgsflow.evaluation.bootstrap import ENDS
from mgsflow.evaluation.calibration import verdict_names
from mgsflow.models.inputs import variant_label
from mgsflow.report.names import GROUPS
from mgsflow.report.writing import MISSING, show, show_interval, write_tables

FINE = (verdict_names.CALIBRATED, verdict_names.UNDECIDED)
PRIOR = "no better than the prior"
_NARROW_SPREAD = 0.05  # of intervals that two digits would hide


def table_calibration(*, calibration: Path, out: Path) -> None:
    """The stage calibration's verdicts with their figures; .json, .md and .tex lie beside `out`.

    A row for each variant and target or group of targets. Slices with a verdict of their own stand
    in the last column; the .csv has the whole of every slice.
    """
    numbers = read_table(calibration)
    write_tables(out, numbers, _shown(numbers))


def _shown(numbers: pd.DataFrame) -> pd.DataFrame:
    whole = numbers[numbers["slice"] == verdict_names.ALL]
    recalibrated = whole["recalibration"].nunique() > 1
    rows = []
    for row in whole.to_dict("records"):
        same = [numbers[name] == row[name] for name in ("variant", "recalibration", "target")]
        parts = numbers[same[0] & same[1] & same[2] & (numbers["slice"] != verdict_names.ALL)]
        head = {"Method": variant_label(row["variant"])}
        if recalibrated:
            head["Draws"] = (
                "raw" if row["recalibration"] == verdict_names.RAW else row["recalibration"]
            )
        rows.append(head | _cells(row) | {"Slices": _slices(parts)})
    return pd.DataFrame(rows)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    target = row["target"]
    joint = target in GROUPS
    return {
        "Quantity": f"{GROUPS[target]}, jointly" if joint else short_name(target),
        "Galaxies": str(row["n"]),
        "Verdict": phrase(row),
        "Bias (σ)": _interval(row, "bias"),
        "Width ratio": _interval(row, "width"),
        "68 / 95%": _coverage(row),
        "Skill": _interval(row, "energy_skill" if joint else "crps_skill"),
        "NLL (nats)": _interval(row, "nll"),
    }


def phrase(row: dict[str, Any]) -> str:
    """The verdict of a row with the size of each fault."""
    sizes = {
        verdict_names.HIGH: lambda: f"{row['bias']:+.2f} σ",
        verdict_names.LOW: lambda: f"{row['bias']:+.2f} σ".replace("-", "−"),
        verdict_names.NARROW: lambda: f"×{row['width']:.2f}",
        verdict_names.WIDE: lambda: f"×{row['width']:.2f}",
        verdict_names.LOCAL: lambda: f"R² {max(row['local_bias_r2'], row['local_width_r2']):.2f}",
        verdict_names.COVERAGE: lambda: f"68% hold {100 * row['coverage_68']:.0f}%",
        verdict_names.CORRELATIONS: lambda: _correlation(row),
        verdict_names.CLASSIFIER: lambda: f"AUC {row['classifier_auc']:.2f}",
    }
    parts = [
        f"{part} ({sizes[part]()})" if part in sizes else part
        for part in row["verdict"].split(verdict_names.JOINER)
    ]
    if row.get("informative") is False:
        parts.append(PRIOR)
    return verdict_names.JOINER.join(parts)


def _correlation(row: dict[str, Any]) -> str:
    pair = " and ".join(short_name(name) for name in row["pair"].split(", "))
    found, claimed = show(row["correlation_found"]), show(row["correlation_claimed"])
    return f"{pair}: {found}, not {claimed}"


def _coverage(row: dict[str, Any]) -> str:
    values = row["coverage_68"], row["coverage_95"]
    return MISSING if math.isnan(values[0]) else " / ".join(f"{100 * v:.1f}" for v in values)


def _interval(row: dict[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ENDS)
    return show_interval(value, low, high, 3 if high - low < _NARROW_SPREAD else 2)


def _slices(parts: pd.DataFrame) -> str:
    faulty = [row for row in parts.to_dict("records") if row["verdict"] not in FINE]
    told = [f"{row['slice']}: {phrase(row | {'informative': True})}" for row in faulty]
    return ", ".join(told) or MISSING
