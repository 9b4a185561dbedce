"""Run a command and append its time and memory to a file of JSON lines.

    python benchmarks/metered.py RECORD mgsflow select --catalogue ...

CPU time and peak memory are those that the system counts for the finished process and its children
(wait4), not samples, which would miss what happens between them. Resident memory includes the pages
of mapped files, which the system reclaims when it needs them. The process's own (anonymous) memory,
read twenty times a second (Linux's /proc, None elsewhere), does not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

INTERVAL = 0.05  # seconds between two readings of the process's own memory
_OWN = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)
# getrusage(2): kilobytes on Linux, bytes on macOS
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def metered(command: list[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run `command` to its end: return code, CPU and wall seconds, peak memory in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env)
    own: list[int] = []
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, own, ended))
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)  # returns as soon as the process ends
    seconds = time.perf_counter() - start
    ended.set()
    watch.join()
    return {
        "command": command,
        "returncode": os.waitstatus_to_exitcode(status),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "wall_seconds": seconds,
        "peak_bytes": usage.ru_maxrss * _MAXRSS_UNIT,
        "own_bytes": max(own, default=None),
    }


def _watch(pid: int, found: list[int], ended: threading.Event) -> None:
    """Repeatedly append the own memory of process `pid` to `found`, until it has `ended`."""
    while not ended.is_set():
        size = _own_memory(pid)
        if size:
            found.append(size)
        ended.wait(INTERVAL)


def _own_memory(pid: int) -> int | None:
    """Bytes of anonymous memory of process `pid`, backed by no file; None if unknown."""
    try:
        found = _OWN.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


if __name__ == "__main__":
    record = metered(sys.argv[2:])
    with Path(sys.argv[1]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    sys.exit(record["returncode"] if record["returncode"] >= 0 else 1)
