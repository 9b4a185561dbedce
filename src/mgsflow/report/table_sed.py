"""The posteriors beside fits of the spectral energy distribution: core-seconds and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mgsflow.core.files import read_facts
from mgsflow.core.quantities import short_name
from mgsflow.evaluation.sed.method_names import ALL, FITTED, NESTED, TEMPLATES
from mgsflow.report.names import inputs_name
from mgsflow.report.published import SED_FITTING
from mgsflow.report.writing import MISSING, show, show_seconds, write_tables

TARGETS = ("log_stellar_mass", "log_sfr")
FIGURES = ("bias", "scatter", "r2", "coverage_68")
NAMES = {NESTED: "bagpipes", TEMPLATES: "kcorrect (given the redshift)"}


def table_sed(*, comparison: Path, out: Path) -> None:
    """A row a method, and galaxies it is judged by; .json, .md and .tex lie beside `out`, the .csv.

    Core-seconds a galaxy, of many together and of one alone; how many times as long as ours that
    is; bias, scatter, R2 and coverage by quantity. Below: the training with its break-even, and
    what others have published of fitters that are not measured here.
    """
    facts = read_facts(
        comparison, "core_seconds", "ratios", "accuracy", "training", "ours", "remark"
    )
    accuracy = pd.DataFrame(facts["accuracy"])
    pairs = accuracy[["method", "sample"]].drop_duplicates()
    rows = [_row(method, sample, accuracy, facts) for method, sample in pairs.to_numpy()]
    remarks = [{"method": "remark", "name": facts["remark"]}] if facts["remark"] else []
    numbers = pd.DataFrame([*rows, _training(facts), *_published(), *remarks])
    for way in ("batch", "single"):
        numbers[f"times_ours_{way}"] = numbers.get(f"times_ours_{way}", float("nan"))
    write_tables(out, numbers, shown(numbers))


def _row(method: str, sample: str, accuracy: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    own = accuracy[(accuracy["method"] == method) & (accuracy["sample"] == sample)]
    row: dict[str, Any] = {"method": method, "name": _name(method), "sample": sample}
    row["galaxies"] = own["galaxies"].max()
    timed = "ours" if method == facts["ours"]["variant"] else method
    if sample == FITTED and timed in facts["core_seconds"]:
        seconds = facts["core_seconds"][timed]
        row |= {f"core_seconds_{way}": seconds[way] for way in seconds}
        row |= {f"times_ours_{way}": ratio for way, ratio in facts["ratios"].get(timed, {}).items()}
    for target, values in own.set_index("target")[list(FIGURES)].iterrows():
        row |= {f"{figure}_{target}": values[figure] for figure in FIGURES}
    return row


def _name(method: str) -> str:
    if method in NAMES:
        return NAMES[method]
    told = " (given the redshift)" if method.partition("+")[0].endswith("rest_frame") else ""
    return inputs_name(method) + told


def _training(facts: dict[str, Any]) -> dict[str, Any]:
    training = facts["training"]
    pays = training["break_even"]
    name = "Training, once"
    if pays is not None:
        name += f"; pays from {pays:.3g} galaxies by bagpipes on"
    return {"method": "training", "name": name, "core_seconds_batch": training["core_seconds"]}


def _published() -> list[dict[str, Any]]:
    return [
        {"method": "published", "name": f"{what} ({source}, published)", "published": words}
        for what, words, source in SED_FITTING
    ]


def shown(numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the table, one text a cell."""
    many = [
        _time(seconds) if pd.isna(words) else words
        for seconds, words in zip(numbers["core_seconds_batch"], numbers["published"], strict=True)
    ]
    cells = {
        "Method": numbers["name"],
        "Core time a galaxy, many": many,
        "Alone": [_time(value) for value in numbers["core_seconds_single"]],
        "Times ours, many": [_ratio(value) for value in numbers["times_ours_batch"]],
        "Times ours, alone": [_ratio(value) for value in numbers["times_ours_single"]],
        "Judged by": [_judged(*pair) for pair in numbers[["sample", "galaxies"]].to_numpy()],
    }
    for target in TARGETS:
        if f"bias_{target}" in numbers:
            values = numbers[[f"{figure}_{target}" for figure in FIGURES]].to_numpy(float)
            cells[f"{short_name(target)}: bias / scatter / R² / 68%"] = [
                _accuracy(*v) for v in values
            ]
    return pd.DataFrame(cells)


def _time(seconds: float) -> str:
    return MISSING if pd.isna(seconds) else show_seconds(seconds)


def _ratio(value: float) -> str:
    return MISSING if pd.isna(value) else f"{value:.3g}"


def _judged(sample: str, galaxies: float) -> str:
    if pd.isna(galaxies):
        return MISSING
    return f"{galaxies:.0f}, the whole test set" if sample == ALL else f"{galaxies:.0f}, all alike"


def _accuracy(bias: float, scatter: float, r2: float, coverage: float) -> str:
    if pd.isna(bias):
        return MISSING
    percent = MISSING if pd.isna(coverage) else f"{100 * coverage:.0f}%"
    return f"{show(bias)} / {show(scatter)} / {show(r2)} / {percent}"
