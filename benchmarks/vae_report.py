"""The tables of docs/performance.md, from the results of vae_training.py."""

from __future__ import annotations

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """A row a variant, in the order of the result."""
    rows = ["| variant | images/s |", "|---|---|"]
    for row in result["rows"]:
        rate = "not measured" if "not_measured" in row else f"{row['images_per_second']:,.0f}"
        rows.append(f"| {row['name']} | {rate} |")
    return "\n".join(rows)
