"""The doctor's findings: each with an observation and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str  # the subject of the check: "SLURM", "partition a100"
    status: Status
    seen: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, seen: str) -> Finding:
    return Finding(check, "ok", seen)


def warning(check: str, seen: str, remedy: str) -> Finding:
    return Finding(check, "warning", seen, remedy)


def failure(check: str, seen: str, remedy: str) -> Finding:
    return Finding(check, "failure", seen, remedy)


def look(check: str, look_at: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check. If the check itself fails, that is a finding as well."""
    try:
        yield from look_at()
    except Exception as error:
        yield failure(
            check,
            f"the check itself broke down: {type(error).__name__}: {error}",
            "The other findings hold. Please report this one, with `mgsflow doctor --json`.",
        )
