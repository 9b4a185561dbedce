"""The first line of a stage's log, read back."""

from __future__ import annotations

import json


def read_job_line(log: str) -> dict[str, object]:
    """The record in a log. ValueError if there is none."""
    for line in log.splitlines():
        words = line.split(maxsplit=3)
        if len(words) == 4 and words[0] == "mgsflow" and words[3].startswith('{"node"'):
            return json.loads(words[3])
    raise ValueError("the log holds no record of its job")
