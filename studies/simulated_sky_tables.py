"""Tables of docs/simulated-sky.md as Markdown, from the JSON file of studies/simulated_sky.py."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from mgsflow.core.markdown import markdown_table
from mgsflow.core.quantities import short_name

COLOURS = ("u − g", "g − r", "r − i", "i − z")


def markdown(result: dict[str, Any]) -> str:
    parts = [
        "**Median colours, simulated − real (held-out half), ± error of the real median [mag].**",
        colour_table(result["colours"]["held_out"]),
        "**Half-widths of the colours (16th to 84th percentile), real / simulated [mag].**",
        width_table(result["colours"]["held_out"]),
        "**Redshifts.**",
        redshift_table(result),
        "**RESOLVE / simulated galaxies of the same masses: median (half-width).**",
        nearby_table(result["nearby"]),
        "**R² of gradient boosting on the simulated photometry, by target.**",
        target_table(result["targets"]),
    ]
    return "\n\n".join(parts)


def colour_table(rows: list[dict[str, Any]]) -> str:
    return _by_redshift(rows, lambda row: f"{signed(row['difference'])} ± {row['error']:.3f}")


def width_table(rows: list[dict[str, Any]]) -> str:
    return _by_redshift(rows, lambda row: f"{row['real_width']:.2f} / {row['simulated_width']:.2f}")


def _by_redshift(rows: list[dict[str, Any]], cell: Any) -> str:
    lines = []
    for (low, high), group in groupby(rows, key=lambda row: (row["low"], row["high"])):
        of_colour = {row["colour"]: row for row in group}
        counts = next(iter(of_colour.values()))
        cells = [cell(of_colour[name]) for name in COLOURS]
        numbers = [str(counts["real_galaxies"]), str(counts["simulated_galaxies"])]
        lines.append([f"{low:.2f}–{high:.2f}", *numbers, *cells])
    return markdown_table(["z", "real galaxies", "simulated galaxies", *COLOURS], lines)


def redshift_table(result: dict[str, Any]) -> str:
    lines = []
    for name, values in result["redshifts"]["quartiles"].items():
        label = (
            f"quartiles of z, {name.replace('_', ' ')} ({result['redshifts']['galaxies'][name]})"
        )
        lines.append([label, " ".join(f"{value:.3f}" for value in values)])
    for name, value in result["redshifts"]["distance"].items():
        lines.append([f"Kolmogorov–Smirnov D of z, {name}", f"{value:.3f}"])
    for name, row in result["redshift_r2"].items():
        label = f"R² of z from ugriz, {name.replace('_', ' ')} ({row['galaxies']} galaxies each)"
        real = f"real {row['real']:.3f} ± {row['real_scatter']:.3f}"
        simulated = f"simulated {row['simulated']:.3f} ± {row['simulated_scatter']:.3f}"
        lines.append([label, f"{real}, {simulated}"])
    apart = result["told_apart"]
    label = "AUC of a classifier, simulated against held out (photometry and z)"
    lines.append([label, f"{apart['held_out']:.3f}"])
    label = "AUC of a classifier, one real half against the other"
    lines.append([label, f"{apart['real halves']:.3f}"])
    return markdown_table(["measure", "value"], lines)


def nearby_table(nearby: dict[str, Any]) -> str:
    bins = nearby["bins"]
    head = [f"log M⋆ {row['low']:.1f}–{row['high']:.1f}" for row in bins]
    lines = []
    plain = [("galaxies", "galaxies", "{:d}"),
             ("forming", "fraction with SFR/M⋆ above 10⁻¹¹ yr⁻¹", "{:.2f}"),
             ("clear", "fraction with S/N ≥ 3 in all four lines", "{:.2f}")]  # fmt: skip
    for key, label, form in plain:
        cells = [
            f"{form.format(r['real'][key])} / {form.format(r['simulated'][key])}" for r in bins
        ]
        lines.append([label, *cells, ""])
    for key in ("star-forming", "composite", "AGN"):
        cells = [f"{r['real']['bpt'][key]:.2f} / {r['simulated']['bpt'][key]:.2f}" for r in bins]
        lines.append([f"BPT: {key}", *cells, ""])
    measured = [("log_sfr", "log SFR, if SFR/M⋆ is above 10⁻¹¹ yr⁻¹"), ("n2", "log [N II]/Hα"),
                ("o3", "log [O III]/Hβ"), ("metallicity", "12+log(O/H), O3N2")]  # fmt: skip
    for key, label in measured:
        cells = [
            " / ".join(f"{minus(r[side][key][0])} ({r[side][key][1]:.2f})" for side in
                       ("real", "simulated")) for r in bins
        ]  # fmt: skip
        lines.append([label, *cells, f"{nearby['distance'][key]:.2f}"])
    return markdown_table(["", *head, "D"], lines)


def target_table(targets: dict[str, Any]) -> str:
    names = sorted(targets["r2"], key=targets["r2"].__getitem__, reverse=True)
    lines = []
    for name in names:
        values = [f"{targets['r2'][name]:.2f}", f"{targets['paper'][name]:.2f}"]
        lines.append([short_name(name), str(targets["galaxies"][name]), *values])
    head = ["target", "galaxies", "simulated, boosting", "paper, images + photometry"]
    return markdown_table(head, lines)


def minus(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
