"""The figure of docs/simulated-sky.md: the simulated and the real sky, panel by panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter
from simulated_sky_samples import COLOURS, Samples, at_equal_mass, colours
from simulated_sky_statistics import MASS_BINS, PER_GALAXY, REDSHIFT_BINS

from mgsflow.core.files import atomic_path
from mgsflow.report.style import BLUE, GREY, INK, ORANGE, PAGE, letter
from mgsflow.sky.simulated.relations import kauffmann_2003, kewley_2001

LEAST = 4  # minimum number of galaxies in a bin for percentiles
DOTS_AN_INCH = 200


def draw(samples: Samples, out: Path) -> None:
    """Draw all comparisons into one PNG of the width of a page."""
    figure = Figure(figsize=(PAGE, 4.1), layout="constrained")
    panels = [figure.add_subplot(2, 4, i + 1) for i in range(8)]
    held_out = samples.halves["held_out"]
    for axes, name in zip(panels[:4], COLOURS, strict=True):
        _colour(axes, name, held_out, samples.simulated)
    _redshifts(panels[4], held_out, samples.simulated)
    equal = at_equal_mass(samples.resolve, samples.volume, PER_GALAXY, 0)
    _against_mass(panels[5], "log_sfr", samples.resolve, equal)
    _bpt(panels[6], samples.resolve, equal)
    _against_mass(panels[7], "metallicity", samples.resolve, equal)
    panels[5].set(ylabel=r"$\log\,$SFR [M$_\odot$ yr$^{-1}$]", ylim=(-3.2, 1.6))
    panels[7].set(ylabel="12 + log(O/H), O3N2", ylim=(8.05, 9.0))
    for number, axes in enumerate(panels):
        letter(axes, number)
    _legend(figure)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_AN_INCH, metadata={"Software": None})


def _legend(figure: Figure) -> None:
    """One legend for all panels, above them."""
    marks = {
        "real: medians, 16th to 84th percentile": {"marker": "o", "color": BLUE, "lw": 0.9},
        "simulated: the same; in (g) contours around 30, 68 and 90%": {
            "marker": "o", "color": ORANGE, "lw": 0.9,
        },
        "single real galaxies; in (g) blue": {"marker": ".", "color": GREY, "lw": 0},
    }  # fmt: skip
    handles = [Line2D([], [], ms=3, label=label, **mark) for label, mark in marks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.4)


def _colour(axes: Axes, name: str, real: pd.DataFrame, simulated: pd.DataFrame) -> None:
    """Medians and the range from the 16th to the 84th percentile in bins of redshift."""
    values = colours(real)[name]
    axes.plot(real["redshift"], values, ".", color=GREY, ms=1.5, alpha=0.5, zorder=0)
    for table, colour, shift in ((simulated, ORANGE, 0.002), (real, BLUE, -0.002)):
        middle, percentiles = _percentiles(table, name)
        arms = np.abs(percentiles[[0, 2]] - percentiles[1])
        axes.errorbar(middle + shift, percentiles[1], arms, fmt="o", ms=2.5, lw=0.9, color=colour)
    low, high = np.percentile(values, [1, 99])
    axes.set(xlabel="redshift", ylabel=f"${name.replace(' − ', '-')}$ [mag]", xlim=(0, 0.2))
    axes.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _percentiles(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n,) of the bins and the 16th, 50th and 84th percentiles (3, n) of a colour."""
    middles, columns = [], []
    for low, high in REDSHIFT_BINS:
        chosen = table[table["redshift"].between(low, high, inclusive="left")]
        if len(chosen) >= LEAST:
            middles.append((low + high) / 2)
            columns.append(np.percentile(colours(chosen)[name], [16, 50, 84]))
    return np.array(middles), np.array(columns).T


def _redshifts(axes: Axes, real: pd.DataFrame, simulated: pd.DataFrame) -> None:
    bins = np.arange(0.01, 0.2501, 0.01)
    shares = np.histogram(real["redshift"], bins)[0] / len(real) / 0.01
    errors = np.sqrt(np.maximum(shares, 1 / len(real) / 0.01) / len(real) / 0.01)
    middles = (bins[1:] + bins[:-1]) / 2
    axes.hist(simulated["redshift"], bins, weights=np.full(len(simulated), 100 / len(simulated)),
              histtype="step", color=ORANGE)  # fmt: skip
    axes.errorbar(middles, shares * 0.01 * 100, errors, fmt="o", ms=2.5, lw=0.9, color=BLUE)
    axes.set(xlabel="redshift", ylabel="galaxies per 0.01 [%]", xlim=(0, 0.25), ylim=(0, None))


def _against_mass(axes: Axes, name: str, real: pd.DataFrame, equal: pd.DataFrame) -> None:
    """RESOLVE's galaxies, and both samples' medians and ranges in bins of mass."""
    axes.plot(real["log_stellar_mass"], real[name], ".", color=GREY, ms=1.8, alpha=0.6, zorder=0)
    for table, colour, shift in ((equal, ORANGE, 0.03), (real, BLUE, -0.03)):
        for low, high in MASS_BINS:
            inside = table["log_stellar_mass"].between(low, high, inclusive="left")
            values = table.loc[inside, name].dropna()
            if len(values) >= LEAST:
                low_arm, median, high_arm = np.percentile(values, [16, 50, 84])
                x = table.loc[values.index, "log_stellar_mass"].median() + shift
                axes.errorbar(x, median, [[median - low_arm], [high_arm - median]], fmt="o", ms=2.5,
                              lw=0.9, color=colour)  # fmt: skip
    axes.set(xlabel=r"$\log\,M_\star$ [M$_\odot$]", xlim=(8.9, 11.4))


def _bpt(axes: Axes, real: pd.DataFrame, equal: pd.DataFrame) -> None:
    """The simulated galaxies' density as contours, RESOLVE's as dots, and the two lines."""
    edges = np.linspace(-1.4, 0.5, 39), np.linspace(-1.2, 1.2, 39)
    density = np.histogram2d(equal["n2"].dropna(), equal["o3"].dropna(), edges)[0]
    axes.plot(real["n2"], real["o3"], ".", color=BLUE, ms=2.0, alpha=0.7)
    axes.contour(*(_middle(edge) for edge in edges), _smooth(density).T, _levels(_smooth(density)),
                 colors=ORANGE, linewidths=0.9)  # fmt: skip
    x = np.linspace(-1.4, 0.4, 300)
    axes.plot(x[x < 0], kauffmann_2003(x[x < 0]), "--", color=INK, lw=0.7)
    axes.plot(x[x < 0.35], kewley_2001(x[x < 0.35]), "-", color=INK, lw=0.7)
    axes.set(xlabel=r"log [N II] / H$\alpha$", ylabel=r"log [O III] / H$\beta$",
             xlim=(-1.4, 0.5), ylim=(-1.2, 1.2))  # fmt: skip


def _middle(edge: np.ndarray) -> np.ndarray:
    return (edge[1:] + edge[:-1]) / 2


def _smooth(density: np.ndarray) -> np.ndarray:
    return gaussian_filter(density, 1.0)


def _levels(density: np.ndarray) -> list[float]:
    """Densities whose contours contain 90%, 68% and 30% of the galaxies."""
    ordered = np.sort(density.ravel())[::-1]
    within = np.cumsum(ordered) / ordered.sum()
    return [float(ordered[np.searchsorted(within, share)]) for share in (0.9, 0.68, 0.3)]
