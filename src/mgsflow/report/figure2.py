"""Figure 2: predicted against true, one panel a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.quantities import LINES, PROPERTIES, label
from mgsflow.core.tables import read_table
from mgsflow.evaluation.metrics import r2
from mgsflow.inference.draws import PosteriorSet, read_posterior
from mgsflow.models.inputs import LABELS
from mgsflow.report import style

SET = "test"
TARGETS = {"properties": PROPERTIES, "lines": LINES}
MANY = 2000  # galaxies from which on points hide each other
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2}  # of panels; three for any other number
_PANEL = 2.13  # inches
_CELLS = 55  # hexagons across a panel
_GROUND = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
_TAIL = 0.001  # of the galaxies at either end that may lie outside a crowded panel


@dataclass(frozen=True)
class _Panel:
    """One target's test galaxies. `interval` is that of R2, if the scores are there."""

    target: str
    truth: np.ndarray
    prediction: np.ndarray
    interval: tuple[float, float] | None

    @property
    def r2(self) -> float:
        return r2(self.truth, self.prediction)


def figure2(
    *,
    posteriors: Path,
    kind: str,
    out: Path,
    scores: Path | None = None,
) -> None:
    """Draw predicted against true values of the test set (paper, Figure 2a and 2b).

    `kind` is `properties` or `lines`. The prediction is the posterior's mean, over the draws of
    all members. Hexagons with logarithmic colour where there are many galaxies, points otherwise;
    dashed, the one-to-one line. With `scores`, R2 comes with its 95% bootstrap interval.
    """
    if kind not in TARGETS:
        raise UserError(f"--kind {kind}: expected {' or '.join(TARGETS)}.")
    posterior = read_posterior(posteriors, SET)
    panels = _panels(posterior, kind, scores)
    style.save(draw(panels, kind, posterior.variant), out)


def _panels(posterior: PosteriorSet, kind: str, scores: Path | None) -> list[_Panel]:
    intervals = _intervals(scores, posterior.variant)
    panels = []
    for target in TARGETS[kind]:
        if target not in posterior.targets:
            continue
        column = posterior.column(target)
        truth = posterior.truth[:, column]
        known = np.isfinite(truth)
        if not known.any():
            say(f"figure2: {target} is left out: no test galaxy has it")
            continue
        mean = posterior.pooled[known, :, column].mean(axis=1, dtype=np.float64)
        panels.append(_Panel(target, truth[known], mean, intervals.get(target)))
    return panels


def _intervals(scores: Path | None, variant: str) -> dict[str, tuple[float, float]]:
    """The bootstrap interval of each target's R2."""
    if scores is None:
        return {}
    table = read_table(scores, ["method", "target", "r2_low", "r2_high"])
    table = table[table["method"] == variant]
    ends = zip(table["r2_low"], table["r2_high"], strict=True)
    return {
        name: end for name, end in zip(table["target"], ends, strict=True) if np.isfinite(end[0])
    }


def draw(panels: list[_Panel], kind: str, variant: str) -> Figure:
    """The figure, or a sentence where the run has no such target."""
    if not panels:
        return style.sentence(
            f"No test galaxy has a posterior and a measured value of any of the {kind}."
        )
    columns = _COLUMNS.get(len(panels), 3)
    figure, axes = style.grid(len(panels), columns, _PANEL * columns + 0.7, _PANEL + 0.05)
    crowded = [_draw_panel(one, panel) for one, panel in zip(axes, panels, strict=True)]
    figure.suptitle(LABELS.get(variant, variant), fontsize="medium")
    _share_colours(figure, axes, [cells for cells in crowded if cells is not None])
    handles, texts = [axes[0].lines[0]], ["one to one"]
    if kind == "lines":
        handles.append(Line2D([], [], linestyle="none"))
        texts.append(r"$F$ in $10^{-17}\,\mathrm{erg\,s^{-1}\,cm^{-2}}$")
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


def _draw_panel(axes: Axes, panel: _Panel) -> Any:
    """Draw one panel; the hexagons, if there are any."""
    many = len(panel.truth) > MANY
    low, high = _limits(panel, _TAIL if many else 0.0)
    axes.plot([low, high], [low, high], "--", color="red", linewidth=0.9, zorder=3)
    cells = None
    if many:
        cells = axes.hexbin(
            panel.truth,
            panel.prediction,
            gridsize=_CELLS,
            extent=(low, high, low, high),
            mincnt=1,
            linewidths=0.1,
            cmap=style.SEQUENTIAL,
        )
    else:
        axes.plot(
            panel.truth, panel.prediction, "o", color=style.BLUE, markersize=2, alpha=0.5, mew=0
        )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.locator_params(nbins=5)
    axes.set_xlabel(f"True {_lower(label(panel.target))}")
    axes.set_ylabel(f"Predicted {_lower(label(panel.target))}")
    written = {"transform": axes.transAxes, "size": 7, "bbox": _GROUND, "zorder": 4}
    axes.text(0.05, 0.95, score_text(panel.r2, panel.interval), va="top", **written)
    axes.text(0.95, 0.05, _number_text(panel, low, high), ha="right", **written)
    return cells


def _limits(panel: _Panel, tail: float) -> tuple[float, float]:
    """One range for both axes, of all values but the `tail` at either end, with a margin."""
    both = np.stack([panel.truth, panel.prediction])
    low, high = np.quantile(both, tail, axis=1).min(), np.quantile(both, 1 - tail, axis=1).max()
    margin = 0.04 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def score_text(value: float, interval: tuple[float, float] | None = None) -> str:
    """R2 as a panel gives it, with its interval if there is one."""
    if not np.isfinite(value):
        return "$R^2$ undefined"
    text = f"$R^2 = {value:.3f}$"
    return text if interval is None else f"{text} $[{interval[0]:.3f},\\,{interval[1]:.3f}]$"


def _number_text(panel: _Panel, low: float, high: float) -> str:
    """How many galaxies there are, and how many of them the panel does not show."""
    both = np.stack([panel.truth, panel.prediction])
    outside = int(((both < low) | (both > high)).any(axis=0).sum())
    text = f"$n$ = {len(panel.truth):,}"
    return text + (f"\n{outside:,} outside" if outside else "")


def _share_colours(figure: Figure, axes: list[Axes], cells: list[Any]) -> None:
    """One logarithmic scale of colours for all panels of hexagons."""
    if not cells:
        return
    most = max(float(one.get_array().max()) for one in cells)
    norm = LogNorm(1, max(most, 2))
    for one in cells:
        one.set_norm(norm)
    figure.colorbar(cells[0], ax=axes, label="Galaxies", shrink=0.8, pad=0.02)


def _lower(text: str) -> str:
    """A label within a sentence: words small, symbols and names as they are."""
    return text[0].lower() + text[1:] if text[:2].istitle() and text[1:2].islower() else text
