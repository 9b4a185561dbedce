"""The lines of the leakage report: a check, its subject, its result and a verdict."""

from __future__ import annotations

import numpy as np

from mgsflow.core.quantities import Quantity

PASSED, REPORTED, FAILED = "passed", "reported", "failed"
SKIPPED, UNDECIDED = "not applicable", "undecided"

QUANTITIES = (
    Quantity("check", "", "What was checked"),
    Quantity("subject", "", "Of which sets, inputs or quantities"),
    Quantity("checked", "", "How many: galaxies, inputs, numbers"),
    Quantity("found", "", "How many of them were found to be at fault, or to be reported"),
    Quantity("value", "", "Figure of the check, where it has one; see the remark"),
    Quantity("value_low", "", "Its lower end"),
    Quantity("value_high", "", "Its upper end"),
    Quantity("verdict", "", f"{PASSED}, {REPORTED}, {FAILED}, {UNDECIDED} or {SKIPPED}"),
    Quantity("remark", "", "What the figure is, and which was the worst"),
)

Line = dict[str, object]


def line(
    check: str,
    subject: str,
    checked: int = 0,
    count: int = 0,
    verdict: str | None = None,
    remark: str = "",
    value: tuple[float, float, float] = (np.nan, np.nan, np.nan),
) -> Line:
    """A line of the table. Without a `verdict`, the check has passed if the `count` found is 0."""
    return {
        "check": check,
        "subject": subject,
        "checked": checked,
        "found": count,
        "value": value[0],
        "value_low": value[1],
        "value_high": value[2],
        "verdict": verdict or (FAILED if count else PASSED),
        "remark": remark,
    }
