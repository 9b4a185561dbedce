"""Tables of docs/performance.md: growth of cost (cost_growth.py), streaming, start-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog

WITHIN = 0.15  # largest relative deviation from a straight line that the goal allows
# A step to more galaxies must add this fraction of the time that it comes to; otherwise its cost
# per galaxy is not given: the small stages together, whose work hardly grows, differed by 27%
# between runs.
VISIBLE = 0.30
CAPPED = ("umap",)  # stages that use at most a number of galaxies given by a setting
_SHOWN = 0.01  # fraction of all CPU time at the largest size above which a stage has its own row
MILLION = 1_000_000  # galaxies for which the cost of the draws is given
_KINDS = ("best", "median")
_FLAT = 0.10  # memory counts as flat if it grows by at most this fraction between extreme sizes


@dataclass(frozen=True)
class Line:
    """Seconds = fixed + each * galaxies; `off` is the largest relative deviation from it.

    `off` is negative if time grows more slowly than any line (middle sizes lie above the line).
    """

    fixed: float
    each: float
    off: float


def straight_line(galaxies: list[int], seconds: list[float]) -> Line:
    """The line of non-negative costs with the smallest maximum relative deviation from `seconds`.

    A linear programme: the smallest e with |fixed + each n - t| <= e t for every size.
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
    """Cost per additional galaxy between the two largest sizes over that between the two smallest.

    1 on a straight line whatever its fixed cost, above 1 if time grows faster than linearly. None
    for fewer than three sizes, and if either step adds less than VISIBLE of the time it comes to.
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
    """Stages that all runs have, in descending order of CPU time at the largest size."""
    common = set.intersection(*(set(run["stages"]) for run in runs))
    last = runs[-1]["stages"]
    return sorted(common, key=lambda name: -last[name]["cpu_seconds"])


def large(runs: list[dict[str, Any]]) -> list[str]:
    """Stages with a row of their own, because of their time or because their memory grows."""
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
    """CPU time and peak memory of each large stage, of the others together, and of all stages."""
    runs = result["runs"]
    sizes = [run["galaxies"] for run in runs]
    counts = " / ".join(f"{size:,}" for size in sizes)
    lines = [
        f"| stage | CPU time, s, for {counts} galaxies | fixed, s | per galaxy, ms | "
        "deviation from a line | marginal cost ratio | peak memory, MB | anonymous memory, MB |",
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
    # two points always lie on a line
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
    """Draws to disk by number of galaxies, extrapolated to a million if that was not measured."""
    lines = [
        f"| galaxies, {result['draws']} draws each | CPU time, s | written, MB | peak memory, MB | "
        "anonymous memory, MB |",
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
    """Start-up of the commands, warm and cold, in CPU seconds; cold starts in wall time as well."""
    lines = [
        "| command | warm, best | warm, median | cold, best | cold, median | cold, wall time, "
        "best | cold, wall time, median |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = [("warm", "cpu"), ("cold", "cpu"), ("cold", "wall")]
    for name, found in result["commands"].items():
        values = [found[way][f"{time}_{kind}"] for way, time in columns for kind in _KINDS]
        lines.append(f"| `{name}` | {' | '.join(f'{value:.3f}' for value in values)} |")
    for stage, found in result["stages"].items():
        seconds = f"{found['cpu_seconds']:.2f}"
        lines.append(f"| start-up of the process of `{stage}` | {seconds} |" + " |" * 5)
    return "\n".join(lines)
