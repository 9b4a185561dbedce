"""Read configurations from files, in the same way as Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mgsflow.config import Settings, validate
from mgsflow.core.errors import UserError


def read_settings(path: Path, overlays: list[Path]) -> Settings:
    """Read the settings from the file `path`. Each overlay replaces the keys that it contains.

    Raises UserError if a file is missing, is not a YAML mapping, or has a wrong key.
    """
    config = _read(path)
    for overlay in overlays:
        config = _merge(config, _read(overlay))
    return validate(config, " + ".join(map(str, [path, *overlays])))


def _read(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}") from None
    if config is not None and not isinstance(config, dict):
        raise UserError(f"{path}: not a mapping of keys to values. See config.yaml for an example.")
    return config or {}


def _merge(config: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Merge sections key by key; replace everything else."""
    merged = dict(config)
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged
