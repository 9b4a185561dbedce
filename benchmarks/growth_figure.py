"""Draw docs/cost-growth.png, the growth of cost with galaxies, from results of cost_growth.py.

python benchmarks/growth_figure.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from growth_tables import large, stages_of
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgsflow.core.files import atomic_path, read_json
from mgsflow.report.style import BLUE, GREEN, GREY, INK, ORANGE, PAGE, PURPLE, RED, SKY, letter

RESULT = Path(__file__).parent / "results" / "cost_growth.json"
FIGURE = Path(__file__).parents[1] / "docs" / "cost-growth.png"
DOTS_AN_INCH = 200
TITLES = {"photometry": "photometry", "images": "images and photometry"}
_COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
_MARKS = "osD^vP"


def draw(result: dict[str, Any], out: Path) -> None:
    """CPU time on the left, peak memory on the right; one row per set of runs."""
    names = [name for name in TITLES if name in result]
    figure = Figure(figsize=(PAGE, 3.4 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 2, squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        _times(left, result[name]["runs"])
        _memories(right, result[name]["runs"])
        left.set(title=TITLES[name], ylabel="CPU time [s]", yscale="log")
        right.set(title=TITLES[name], ylabel="peak memory of a process [MB]", ylim=(0, None))
    for number, panel in enumerate(axes.flat):
        panel.set(xscale="log", xlabel="galaxies of the simulated sky")
        panel.legend(loc="upper center", ncols=3, fontsize=6, bbox_to_anchor=(0.5, -0.16))
        letter(panel, number)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_AN_INCH, metadata={"Software": None})


def _times(axes: Axes, runs: list[dict[str, Any]]) -> None:
    sizes = np.array([run["galaxies"] for run in runs])
    whole = np.array([sum(s["cpu_seconds"] for s in run["stages"].values()) for run in runs])
    axes.plot(sizes, whole, color=INK, lw=1.6, marker="o", ms=3, label="all stages")
    _lines(axes, runs, "cpu_seconds", 1.0)
    ends = np.array([sizes[0], sizes[-1]])
    proportional = 1.7 * whole[-1] * ends / sizes[-1]
    axes.plot(ends, proportional, color=INK, lw=0.8, ls=":", label="proportional")


def _memories(axes: Axes, runs: list[dict[str, Any]]) -> None:
    _lines(axes, runs, "peak_bytes", 1e-6)


def _lines(axes: Axes, runs: list[dict[str, Any]], key: str, unit: float) -> None:
    """The stages with the largest values of `key` in colour, all others in grey."""
    sizes = [run["galaxies"] for run in runs]
    candidates = large(runs) if key == "cpu_seconds" else stages_of(runs)
    most = sorted(candidates, key=lambda name: -runs[-1]["stages"][name][key])[: len(_COLOURS)]
    for name in stages_of(runs):
        if name not in most:
            values = [run["stages"][name][key] * unit for run in runs]
            axes.plot(sizes, values, color=GREY, lw=0.5, alpha=0.6)
    for name, colour, mark in zip(most, _COLOURS, _MARKS, strict=False):
        values = [run["stages"][name][key] * unit for run in runs]
        axes.plot(sizes, values, color=colour, marker=mark, ms=2.5, label=name)
    axes.plot([], [], color=GREY, lw=0.5, label="other stages")


if __name__ == "__main__":
    draw(read_json(RESULT), FIGURE)
    print(f"drawn: {FIGURE}")
