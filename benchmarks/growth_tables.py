"""Tables of docs/performance.md: growth with galaxies (cost_growth.py), streaming, start-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog

WITHIN = 0.15  # of the measured time may a straight line miss it
# A step to more galaxies must add this share of the time that it comes to, or its cost a galaxy is
# not told: the small stages together, whose work hardly grows, differed by 27% from run to run.
VISIBLE = 0.30
CAPPED = ("umap",)  # stages that stop growing at a number of galaxies that is a setting
_SHOWN = 0.01  # of all CPU time at the most galaxies, from which on a stage has a row of its own
MILLION = 1_000_000  # galaxies, of which is told what their draws take
_KINDS = ("best", "median")
_FLAT = 0.10  # by which memory may grow from the fewest to the most galaxies and be called flat


@dataclass(frozen=True)
class Line:
    """Seconds = fixed + each * galaxies; `off` is the largest relative distance from it.

    `off` is negative where time grows more slowly than any line (middle sizes above it).
    """

    fixed: float
    each: float
    off: float


def straight_line(galaxies: list[int], seconds: list[float]) -> Line:
    """The line, with no negative cost, whose largest relative distance from `seconds` is least.

    A linear programme: least e with |fixed + each n - t| <= e t for every size.
    """
    n, t = np.array(galaxies, float), np.array(seconds, float)
    scale = n.max()
    ones = np.ones_like(n)
    above = np.stack([ones, n / scale, -t], axis=1)  # line - t <= e t
    below = np.stack([-ones, -n / scale, -t], axis=1)  # t - line <= e t
    best = linprog([0, 0, 1], A_ub=np.concatenate([above, below]), b_ub=np.concatenate([t, -t]))
    fixed, each, off = best.x
    chord = np.interp(n, n[[0, -1]], t[[0, -1]])
    bends_down = (t - chord).sum() > 0
    return Line(float(fixed), float(each / scale), float(-off if bends_down else off))


def marginal_ratio(galaxies: list[int], seconds: list[float]) -> float | None:
    """What a galaxy more costs between the two largest sizes, over that between the two smallest.

    1 on a straight line whatever its fixed cost, above 1 where time bends upwards. None through
    fewer than three sizes, and where either step adds less than VISIBLE of the time it comes to.
    """
    if len(galaxies) < 3:
        return None
    steps = [
        (seconds[i + 1] - seconds[i]) / (galaxies[i + 1] - galaxies[i])
        for i in (0, len(galaxies) - 2)
    ]
    shares = [1 - seconds[i] / seconds[i + 1] for i in (0, len(galaxies) - 2)]
    return steps[1] / steps[0] if min(shares) >= VISIBLE else None


def stages_of(runs: list[dict[str, Any]]) -> list[str]:
    """Stages that all runs have, those of most CPU time at the most galaxies first."""
    common = set.intersection(*(set(run["stages"]) for run in runs))
    last = runs[-1]["stages"]
    return sorted(common, key=lambda name: -last[name]["cpu_seconds"])


def large(runs: list[dict[str, Any]]) -> list[str]:
    """Stages with a row of their own: by their time, or by memory that grows."""
    whole = sum(stage["cpu_seconds"] for stage in runs[-1]["stages"].values())
    return [
        name
        for name in stages_of(runs)
        if runs[-1]["stages"][name]["cpu_seconds"] >= _SHOWN * whole or not is_flat(runs, name)
    ]


def is_flat(runs: list[dict[str, Any]], name: str) -> bool:
    first, last = (run["stages"][name]["peak_bytes"] for run in (runs[0], runs[-1]))
    return last <= (1 + _FLAT) * first


def growth(result: dict[str, Any]) -> str:
    """CPU time and peak memory of each large stage, of the others together, and of all."""
    runs = result["runs"]
    sizes = [run["galaxies"] for run in runs]
    counts = " / ".join(f"{size:,}" for size in sizes)
    lines = [
        f"| stage | CPU s, {counts} galaxies | fixed, s | ms a galaxy | off a line | a galaxy, "
        "large over small | peak MB, the same | process's own, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    named = large(runs)
    others = [name for name in stages_of(runs) if name not in named]
    for name in named:
        lines.append(_row(name, runs, [name]))
    if others:
        lines.append(_row(f"the other {len(others)} stages", runs, others))
    lines.append(_row("**all**", runs, [*named, *others]))
    free = [name for name in (*named, *others) if name not in CAPPED]
    if len(free) < len(named) + len(others):
        lines.append(_row(f"**all but {', '.join(CAPPED)}**", runs, free))
    return "\n".join(lines)


def _row(title: str, runs: list[dict[str, Any]], names: list[str]) -> str:
    seconds = [sum(run["stages"][name]["cpu_seconds"] for name in names) for run in runs]
    sizes = [run["galaxies"] for run in runs]
    line, ratio = straight_line(sizes, seconds), marginal_ratio(sizes, seconds)
    peaks = [max(run["stages"][name]["peak_bytes"] for name in names) for run in runs]
    own = [max(run["stages"][name]["own_bytes"] or 0 for name in names) for run in runs]
    # through two points there is always a line
    off = _percent(line.off) if len(runs) > 2 else "–"
    return (
        f"| {title} | {' / '.join(_short(value) for value in seconds)} | {line.fixed:.1f} | "
        f"{1000 * line.each:.2f} | {off} | "
        f"{'–' if ratio is None else f'{ratio:.2f}'} | {_megabytes(peaks)} | {_megabytes(own)} |"
    )


def _percent(value: float) -> str:
    return f"{value:+.0%}".replace("-0%", "+0%")


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _megabytes(values: list[int]) -> str:
    return " / ".join(f"{value / 1e6:.0f}" for value in values)


def streaming(result: dict[str, Any]) -> str:
    """Draws to disk: a row a number of galaxies, and what a million would take if none had them."""
    lines = [
        f"| galaxies, {result['draws']} draws each | CPU s | written, MB | peak MB | "
        "process's own, MB |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['galaxies']:,} | {_short(row['cpu_seconds'])} | {row['bytes'] / 1e6:,.0f} | "
            f"{row['peak_bytes'] / 1e6:.0f} | {row['own_bytes'] / 1e6:.0f} |"
        )
    if result["rows"][-1]["galaxies"] < MILLION:
        lines.append(
            f"| 1,000,000, extrapolated | {result['million_seconds']:,.0f} | "
            f"{result['million_bytes'] / 1e6:,.0f} | | |"
        )
    return "\n".join(lines)


def startup(result: dict[str, Any]) -> str:
    """The command's own start, warm and cold, in CPU seconds; the cold one by the clock as well."""
    lines = [
        "| command | warm, best | warm, median | cold, best | cold, median | cold by the clock, "
        "best | the same, median |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = [("warm", "cpu"), ("cold", "cpu"), ("cold", "wall")]
    for name, found in result["commands"].items():
        values = [found[way][f"{time}_{kind}"] for way, time in columns for kind in _KINDS]
        lines.append(f"| `{name}` | {' | '.join(f'{value:.3f}' for value in values)} |")
    for stage, found in result["stages"].items():
        seconds = f"{found['cpu_seconds']:.2f}"
        lines.append(f"| the process of `{stage}`, up to its work | {seconds} |" + " |" * 5)
    return "\n".join(lines)
