"""Figure 4: UMAP of latents and photometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgsflow.core.quantities import label
from mgsflow.core.tables import read_table
from mgsflow.report import style

# What the stage umap calls its inputs, in the order of the panels.
INPUTS = {
    "images": "Images",
    "images_photometry": "Images + photometry",
    "photometry": "Photometry",
}
_CLIP = (0.01, 0.99)  # quantiles at which the colours end, so that outliers do not take them all
_PANEL = 2.9  # inches


def figure4(*, umap: Path, out: Path) -> None:
    """Draw the UMAP embeddings, coloured by the run's `umap_targets` (paper, Figure 4).

    A row for each property, a column for each kind of inputs: fewer where the run has less.
    Galaxies without a value of the property are grey.
    """
    style.save(draw(read_table(umap)), out)


def draw(table: pd.DataFrame) -> Figure:
    """The figure of a table of objid, inputs, x, y and properties."""
    inputs = [name for name in INPUTS if (table["inputs"] == name).any()]
    wanted = [name for name in table.columns if name not in ("objid", "inputs", "x", "y")]
    colours = [name for name in wanted if np.isfinite(table[name]).any()]
    if not inputs or not colours:
        return style.sentence("No embedded galaxy has a value of a property to colour it by.")
    figure = Figure(
        figsize=(_PANEL * len(inputs) + 0.8, (_PANEL - 0.2) * len(colours)), layout="constrained"
    )
    axes = figure.subplots(len(colours), len(inputs), squeeze=False)
    for row, colour in enumerate(colours):
        limits = tuple(np.nanquantile(table[colour], _CLIP))
        for column, name in enumerate(inputs):
            panel = axes[row, column]
            points = _draw_panel(panel, table[table["inputs"] == name], colour, limits)
            style.letter(panel, row * len(inputs) + column)
            panel.set_title(INPUTS[name])
        figure.colorbar(points, ax=axes[row], label=label(colour), extend="both", pad=0.02)
    return figure


def _draw_panel(axes: Axes, part: pd.DataFrame, colour: str, limits: tuple[float, float]) -> object:
    known = np.isfinite(part[colour])
    size = float(np.clip(6000 / len(part), 0.8, 12))  # points squared: dense but not a blot
    shape = {"s": size, "linewidths": 0, "rasterized": True}
    axes.scatter(part["x"][~known], part["y"][~known], color="0.8", **shape)
    points = axes.scatter(
        part["x"][known],
        part["y"][known],
        c=part[colour][known],
        vmin=limits[0],
        vmax=limits[1],
        cmap=style.SEQUENTIAL,
        **shape,
    )
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.margins(0.04)
    return points
