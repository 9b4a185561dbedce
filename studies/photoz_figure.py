"""The figure of docs/real-data.md: PIT histograms of redshift posteriors, in their 95% band."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from photoz_tables import LABELS

from mgsflow.core.files import atomic_path
from mgsflow.evaluation.calibration.bands import CELLS, band
from mgsflow.report.style import BLUE, GREY, INK, ORANGE, PAGE, letter

DOTS_AN_INCH = 200
SHOWN = {"flow": BLUE, "NPE": ORANGE}


def draw(result: dict[str, Any], out: Path) -> None:
    """One panel per method: relative numbers of galaxies by bin, and the band of a uniform PIT."""
    shown = [name for name in SHOWN if name in result["rows"]]
    figure = Figure(figsize=(0.7 * PAGE, 1.7), layout="constrained")
    allowed, edges = band(result["galaxies"], "histogram"), np.linspace(0, 1, CELLS + 1)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for number, (axes, name) in enumerate(zip(panels, shown, strict=True)):
        row = result["rows"][name]
        axes.stairs(allowed.high * CELLS, edges, baseline=allowed.low * CELLS, fill=True,
                    color=GREY, alpha=0.35, lw=0)  # fmt: skip
        axes.axhline(1, color=INK, lw=0.5)
        axes.stairs(np.array(row["pit_histogram"]) * CELLS, edges, color=SHOWN[name], lw=1.2)
        axes.set(xlabel="PIT of the redshift", xlim=(0, 1), ylim=(0.6, 1.4), title=LABELS[name])
        letter(axes, number)
    panels[0].set_ylabel("galaxies, over uniform")
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_AN_INCH, metadata={"Software": None})
