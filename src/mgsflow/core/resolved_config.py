"""A run's settings beside its results."""

from __future__ import annotations

from pathlib import Path

from mgsflow.core.files import write_text


def resolved_config(*, config: str, out: Path) -> None:
    """Write the settings of a run to `out` as YAML, with every key explicit."""
    write_text(out, config)
