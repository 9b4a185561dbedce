"""Figure: ranks of the truths and coverage of the posteriors, with the bands of calibrated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mgsflow.core.quantities import in_table_order, math_name
from mgsflow.core.tables import read_table
from mgsflow.evaluation.calibration.verdict_names import RAW
from mgsflow.report import style
from mgsflow.report.names import GROUPS, inputs_name

COLUMNS, ROW = 4, 1.36  # panels a row; inches of a row
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.SKY, style.INK)
STYLES = {"curve": "-", "tarp": "-", "depth": ":"}
LEAST_SPAN = 0.12  # of the vertical axis of a panel of curves, on either side


def figure_ranks(*, curves: Path, out: Path) -> None:
    """Draw what the stage calibration counted: histograms of ranks, then coverage by level.

    The upper panels are the ranks of the first variant's truths, one panel a quantity; the lower
    ones, of all variants, the share of truths below each quantile less what it should be; the last
    of them, jointly, the same of TARP's expected coverage and of the coverage by depth. Grey: where
    a calibrated posterior stays with 95% probability. Dashed: recalibrated draws.
    """
    style.save(draw(read_table(curves)), out)


def draw(curves: pd.DataFrame) -> Figure:
    """The figure, or a sentence where there is nothing to draw."""
    if curves.empty:
        return style.sentence("No galaxy of the test set has a measured target: nothing to judge.")
    variants = list(dict.fromkeys(curves["variant"]))
    alone = [name for name in in_table_order(curves["target"]) if name not in GROUPS]
    targets = alone + [name for name in GROUPS if (curves["target"] == name).any()]
    above = -(-len(alone) // COLUMNS)
    below = -(-len(targets) // COLUMNS)
    figure = Figure(figsize=(style.PAGE, ROW * (above + below) + 0.35), layout="constrained")
    axes = figure.subplots(above + below, COLUMNS, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    first = curves[(curves["variant"] == variants[0]) & (curves["recalibration"] == RAW)]
    for panel, name in zip(axes[:above].flat, alone, strict=False):
        _histogram(panel, first[(first["target"] == name) & (first["kind"] == "histogram")])
        panel.set_title(_title(name))
    for panel, name in zip(axes[above:].flat, targets, strict=False):
        _curves(panel, curves[(curves["target"] == name)], variants)
        panel.set_title(_title(name))
    figure.align_ylabels()
    _label(axes, above, len(alone), len(targets))
    _legend(figure, curves, variants)
    return figure


def _title(name: str) -> str:
    return GROUPS.get(name) or math_name(name)


def _histogram(axes: Axes, cells: pd.DataFrame) -> None:
    axes.set_axis_on()
    edges = np.append(cells["x"], 1.0)
    expected = 1 / len(cells)
    low, high = cells["low"].to_numpy() / expected, cells["high"].to_numpy() / expected
    axes.stairs(high, edges, baseline=low, fill=True, color=style.GREY, alpha=0.35)
    axes.axhline(1, color=style.GREY, linewidth=0.6)
    axes.stairs(cells["share"] / expected, edges, color=COLOURS[0])
    top = 1.25 * max(float(high.max()), float((cells["share"] / expected).max()))
    axes.set(xlim=(0, 1), ylim=(0, top))
    axes.text(0.97, 0.94, f"n = {cells['n'].iloc[0]}", transform=axes.transAxes, **_CORNER)


_CORNER = {"ha": "right", "va": "top", "fontsize": 6}


def _curves(axes: Axes, curves: pd.DataFrame, variants: list[str]) -> None:
    axes.set_axis_on()
    one = curves[(curves["variant"] == variants[0]) & (curves["recalibration"] == RAW)]
    one = one[one["kind"] == ("tarp" if (one["kind"] == "tarp").any() else "curve")]
    level = one["x"].to_numpy()
    low, high = one["low"] - level, one["high"] - level
    axes.fill_between(level, low, high, color=style.GREY, alpha=0.35, linewidth=0)
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    span = max(LEAST_SPAN, float(high.max()), float(-low.min()))
    drawn = curves[curves["kind"].isin(STYLES)]
    for (variant, recalibration, kind), part in drawn.groupby(
        ["variant", "recalibration", "kind"], sort=False
    ):
        offset = (part["share"] - part["x"]).to_numpy()
        span = max(span, float(np.abs(offset).max()))
        axes.plot(
            part["x"],
            offset,
            STYLES[str(kind)] if recalibration == RAW else "--",
            color=COLOURS[variants.index(variant) % len(COLOURS)],
            linewidth=0.9,
        )
    axes.set(xlim=(0, 1), ylim=(-1.1 * span, 1.1 * span))


def _label(axes: np.ndarray, above: int, alone: int, targets: int) -> None:
    for panel in axes[:above, 0]:
        panel.set_ylabel("galaxies / expected")
    for panel in axes[above:, 0]:
        panel.set_ylabel("share − level")
    for block, panels, text in ((axes[:above], alone, "rank"), (axes[above:], targets, "level")):
        for number, panel in enumerate(block.flat):
            if number < panels <= number + COLUMNS:
                panel.set_xlabel(text)


def _legend(figure: Figure, curves: pd.DataFrame, variants: list[str]) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], label=inputs_name(name, short=True))
        for i, name in enumerate(variants)
    ]
    if (curves["kind"] == "depth").any():
        handles += [
            Line2D([], [], color=style.INK, linestyle=STYLES["tarp"], label="jointly: TARP"),
            Line2D([], [], color=style.INK, linestyle=STYLES["depth"], label="jointly: by depth"),
        ]
    if (curves["recalibration"] != RAW).any():
        handles.append(Line2D([], [], color=style.INK, linestyle="--", label="recalibrated"))
    handles.append(Patch(facecolor=style.GREY, alpha=0.35, label="calibrated, 95%"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
