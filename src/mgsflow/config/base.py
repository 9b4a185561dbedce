"""The base class of the sections, and the declaration of a key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of config.yaml. It is immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def setting(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    """Declare a key of the configuration: its default, meaning, unit and limits."""
    description = f"{meaning} [{unit}]" if unit else meaning
    if isinstance(default, (list, dict)):
        return Field(default_factory=default.copy, description=description, **limits)
    return Field(default, description=description, **limits)
