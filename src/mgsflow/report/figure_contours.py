"""Figure: the flows' posteriors over the exact ones, three galaxies of a simulated sky."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import LINES, METALLICITY, math_name
from mgsflow.report import style

LEVELS = (0.68, 0.95)  # of the probability that a contour encloses
CELLS = 48  # of the histogram behind a contour, along each axis
SMOOTHING = 1.6  # cells, of the histogram: Gaussian
MARGIN = 0.005  # of the draws on either side that may lie outside a panel
EXACT, FLOW = style.GREY, style.BLUE


@dataclass(frozen=True)
class _Galaxy:
    """Draws of equal weight, (n, targets), of one galaxy's two posteriors, and what it is."""

    names: list[str]
    exact: np.ndarray
    flow: np.ndarray
    truth: np.ndarray
    colour: float  # g - r, mag

    def column(self, whose: str, name: str) -> np.ndarray:
        return getattr(self, whose)[..., self.names.index(name)]


def figure_contours(*, examples: Path, out: Path) -> None:
    """Draw the stage oracle's examples: exact contours of 68% and 95%, the flows' over them.

    A column of panels a galaxy, from blue to red; a row a pair of properties. Crosses: the truth.
    """
    style.save(draw(_read(examples)), out)


def _read(path: Path) -> list[_Galaxy]:
    try:
        with h5py.File(path, "r") as file:
            return [_galaxy(file[name]) for name in sorted(file)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}). Run the stage oracle again.") from None


def _galaxy(group: h5py.Group) -> _Galaxy:
    return _Galaxy(
        [str(name) for name in group.attrs["targets"]],
        group["exact"][:],
        group["flow"][:],
        group["truth"][:],
        float(group.attrs["g_r"]),
    )


def draw(galaxies: list[_Galaxy]) -> Figure:
    """The figure, or a sentence where there are fewer than two properties to set side by side."""
    # not every draw has a metallicity; lines only where there are no two properties
    names = [n for n in galaxies[0].names if n != METALLICITY]
    core = [n for n in names if n not in LINES]
    pairs = list(combinations(core if len(core) > 1 else names, 2))
    if not pairs:
        return style.sentence(
            "There are no two quantities beside metallicity: no joint posterior to draw."
        )
    figure = Figure(
        figsize=(style.PAGE, min(1.62 * len(pairs), style.LONGEST)), layout="constrained"
    )
    axes = figure.subplots(len(pairs), len(galaxies), squeeze=False)
    for row, (x, y) in enumerate(pairs):
        for column, galaxy in enumerate(galaxies):
            _panel(axes[row, column], galaxy, x, y)
            if row == 0:
                axes[row, column].set_title(f"$g-r$ = {galaxy.colour:.2f}")
    handles = [
        Patch(facecolor=EXACT, alpha=0.55, label="exact, 68% and 95%"),
        Line2D([], [], color=FLOW, label="flows, 68% and 95%"),
        Line2D([], [], color=style.RED, marker="+", linestyle="none", label="measured"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _panel(axes: Axes, galaxy: _Galaxy, x: str, y: str) -> None:
    both = np.concatenate([galaxy.exact, galaxy.flow])
    edges = [_edges(both[:, galaxy.names.index(name)]) for name in (x, y)]
    for whose in ("exact", "flow"):
        density = _density(galaxy.column(whose, x), galaxy.column(whose, y), edges)
        levels = _enclosing(density)
        centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
        if whose == "exact":
            axes.contourf(*centres, density.T, [*levels, np.inf], colors=EXACT, alpha=0.35)
            axes.contourf(*centres, density.T, [levels[1], np.inf], colors=EXACT, alpha=0.45)
        else:
            axes.contour(*centres, density.T, levels, colors=FLOW, linewidths=0.9)
    axes.plot(
        galaxy.truth[galaxy.names.index(x)],
        galaxy.truth[galaxy.names.index(y)],
        "+",
        color=style.RED,
        markersize=6,
    )
    axes.set(
        xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]], xlabel=math_name(x), ylabel=math_name(y)
    )
    axes.locator_params(nbins=4)


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [MARGIN, 1 - MARGIN])
    margin = 0.12 * max(high - low, 1e-6)
    return np.linspace(low - margin, high + margin, CELLS + 1)


def _density(x: np.ndarray, y: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Shares of the draws in the cells, smoothed by a Gaussian along both axes."""
    counts, *_ = np.histogram2d(x, y, edges)
    offset = np.subtract.outer(np.arange(CELLS), np.arange(CELLS))
    kernel = np.exp(-0.5 * (offset / SMOOTHING) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ counts @ kernel.T / len(x)


def _enclosing(density: np.ndarray) -> list[float]:
    """Densities, rising, above which 95% and 68% of the probability lie."""
    ordered = np.sort(density.ravel())[::-1]
    cumulative = np.cumsum(ordered) / ordered.sum()
    return sorted(float(ordered[np.searchsorted(cumulative, level)]) for level in LEVELS)
