"""Progress of long work: a bar on a terminal, occasional lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
LOG_INTERVAL = 10.0  # seconds between two lines in a log


def say(message: str) -> None:
    """Print a line for the user and the log on standard error."""
    print(message, file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over `items` and show the progress, the rate and the time left.

    `total` is required if `items` has no length.
    """
    count = len(items) if total is None else total  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from _track_bar(items, what, count)
    else:
        yield from _track_lines(items, what, count)


def _track_bar(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=what)


def _track_lines(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_INTERVAL or done == total:
            rate = done / max(now - start, 1e-9)
            left = (total - done) / rate
            say(f"{what}: {done}/{total}, {rate:.3g}/s, {left:.0f} s left")
            last = now
