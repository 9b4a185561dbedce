"""What every section of the settings shares."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of config.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def setting(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    """A key of the configuration: its default, what it means, its unit, and its limits."""
    description = f"{meaning} [{unit}]" if unit else meaning
    if isinstance(default, (list, dict)):
        return Field(default_factory=default.copy, description=description, **limits)
    return Field(default, description=description, **limits)
