"""One style for all figures, and files that repeat byte for byte.

Importing this module sets Matplotlib's parameters from its own defaults, whatever the user's
matplotlibrc says, so that a figure looks the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path

PAGE = 7.1  # inches: the width of a journal's page
LONGEST = 9.6  # inches: the page's height

# Okabe & Ito's colours (2008), which those see too who do not tell red from green.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY, INK = "#CC79A7", "#56B4E9", "#8C8C8C", "#222222"
SEQUENTIAL = "viridis"

_STYLE = {
    # fonts that come with Matplotlib: no machine replaces them by another
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "pdf.fonttype": 42,  # text stays text; journals refuse Type 3
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
}
_PDF_DPI, _PNG_DPI = 300, 200  # of rasterised points in the PDF; of the whole PNG
# without dates and versions: equal input gives equal bytes
_PDF_METADATA = {"CreationDate": None, "Creator": None, "Producer": None}
_PNG_METADATA = {"Software": None}

matplotlib.rcdefaults()
matplotlib.rcParams.update(_STYLE)


def save(figure: Figure, out: Path) -> None:
    """Write `figure` as PDF to `out` and as PNG, 200 dots an inch, beside it.

    Raises UserError if `out` does not end in .pdf.
    """
    out = Path(out)
    if out.suffix != ".pdf":
        raise UserError(
            f"--out {out}: give a name that ends in .pdf; the PNG is written beside it."
        )
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=_PDF_DPI, metadata=_PDF_METADATA)
    with atomic_path(out.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=_PNG_DPI, metadata=_PNG_METADATA)


def sentence(text: str, width: float = PAGE) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(width, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color=INK)
    return figure


def grid(panels: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `width` with as many axes as `panels`, row by row, each row `height` inches."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(panels)]


def letter(axes: Axes, number: int) -> None:
    """Panel letter (a), (b), ... above the upper left corner of `axes`."""
    axes.set_title(f"({chr(ord('a') + number)})", loc="left", fontweight="bold")
