"""Tables of docs/real-data.md as Markdown, from the JSON file of photometric_redshift.py."""

from __future__ import annotations

from typing import Any

from mgsflow.core.markdown import markdown_table

LABELS = {
    "flow": "mgsflow",
    "boosting": "gradient boosting, tuned",
    "support vectors": "support-vector regression, tuned",
    "bagged MLPs": "ten bagged MLPs, tuned",
    "NPE": "sbi's NPE, spline flow on log z",
    "NPE, z itself": "sbi's NPE, spline flow on z itself",
    "NPE, five networks": "sbi's NPE on log z, five networks",
    "flow, one member": "one member instead of five",
    "flow, two members": "two members instead of five",
    "flow, heads alone": "mean of the heads, without the flow",
    "flow, own validation rows": "separate validation rows for each member",
    "flow, out-of-fold residuals": "two members: out-of-fold residuals",
    "flow, in-sample residuals": "two members: unscaled residuals of the final head",
    "flow, affine": "two members: affine flow instead of a spline",
    "flow, log z": "two members: log z as the target",
    "flow, untuned": "two members: the package's default learning rate and batch size",
    "flow, magnitudes alone": "two members: magnitudes alone",
    "flow, colours alone": "two members: colours alone",
}
COMPARED = (
    "flow",
    "boosting",
    "support vectors",
    "bagged MLPs",
    "NPE",
    "NPE, z itself",
    "NPE, five networks",
)
GAINS = ("r2", "sigma_mad", "log_density", "crps")


def markdown(result: dict[str, Any]) -> str:
    rows = result["rows"]
    compared = [name for name in COMPARED if name in rows]
    changed = [name for name in rows_in_order(rows) if name not in COMPARED]
    parts = [
        "**Point estimates on the outer test folds.**",
        point_table(rows, compared),
        "**Posteriors on the outer test folds.**",
        posterior_table(rows, [n for n in compared if "log_density" in rows[n]["figures"]]),
        "**mgsflow minus each other method, with the 95% interval of a paired bootstrap.**",
        difference_table(rows, [name for name in compared if name != "flow"]),
        "**Variations of mgsflow: results, and mgsflow (with as many members) minus the variation "
        "(Δ).**",
        change_table(rows, changed),
    ]
    return "\n\n".join(parts)


def rows_in_order(rows: dict[str, Any]) -> list[str]:
    return [name for name in LABELS if name in rows]


def point_table(rows: dict[str, Any], names: list[str]) -> str:
    lines = []
    for name in names:
        f = rows[name]["figures"]
        cells = [f"{f['r2']:.3f}", f"{f['sigma_mad']:.4f}", signed(f["bias"], 4)]
        lines.append([LABELS[name], *cells, f"{100 * f['outliers']:.1f}%"])
    return markdown_table(["method", "R²", "σ_MAD", "bias", "outliers"], lines)


def posterior_table(rows: dict[str, Any], names: list[str]) -> str:
    head = ["method", "log-likelihood", "CRPS", "68% coverage", "95% coverage",
            "KS distance of the PIT (p)", "band (p)", "σ_MAD of the median"]  # fmt: skip
    lines = []
    for name in names:
        f = rows[name]["figures"]
        cells = [
            LABELS[name],
            signed(f["log_density"], 3),
            f"{f['crps']:.5f}",
            f"{100 * f['coverage_68']:.1f}%",
            f"{100 * f['coverage_95']:.1f}%",
            f"{f['pit_ks']:.3f} ({chance(f['pit_ks_p'])})",
            chance(f["pit_band_p"]),
            f"{f['sigma_mad_median']:.4f}",
        ]
        lines.append(cells)
    return markdown_table(head, lines)


def difference_table(rows: dict[str, Any], names: list[str]) -> str:
    head = ["mgsflow minus", "R²", "σ_MAD", "log-likelihood", "CRPS"]
    lines = [[LABELS[name], *_gains(rows[name]["flow_minus_this"])] for name in names]
    return markdown_table(head, lines)


def change_table(rows: dict[str, Any], names: list[str]) -> str:
    head = ["variation", "R²", "σ_MAD", "log-likelihood", "68% coverage", "Δ R²",
            "Δ log-likelihood"]  # fmt: skip
    lines = []
    for name in names:
        f, gains = rows[name]["figures"], rows[name]["flow_minus_this"]
        density = "log_density" in f
        cells = [
            LABELS[name],
            f"{f['r2']:.3f}",
            f"{f['sigma_mad']:.4f}",
            signed(f["log_density"], 3) if density else "–",
            f"{100 * f['coverage_68']:.1f}%" if density else "–",
            interval(gains["r2"], 3),
            interval(gains["log_density"], 3) if density else "–",
        ]
        lines.append(cells)
    return markdown_table(head, lines)


def _gains(against: dict[str, dict[str, float]]) -> list[str]:
    digits = {"r2": 3, "sigma_mad": 4, "log_density": 3, "crps": 5}
    return [interval(against[g], digits[g]) if g in against else "–" for g in GAINS]


def interval(value: dict[str, float], digits: int) -> str:
    low, high = signed(value["low"], digits), signed(value["high"], digits)
    return f"{signed(value['difference'], digits)} ({low} to {high})"


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def chance(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.0e}".replace("-", "−")
