"""Write envs/cuda.lock: what the CUDA build of torch brings beside the packages of envs/train.lock.

Reads pip's report of an installation of that build (`pip install --dry-run --report`). The lock is
given to pip as a constraint: a CPU build has none of these packages, and gets none.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
HEADER = """\
# Exact pins of what the CUDA build of {torch} brings on Linux, for pip's --constraint: made by
# `make lock`, not by hand. The CPU build brings none of it.
"""


def cuda_lock(report: dict, train: str) -> str:
    """The text of the lock, of a report and of the lock of `train`."""
    locked = dict(line.split("==") for line in train.splitlines() if "==" in line)
    brought = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in report["install"]
    }
    lines = [f"{name}=={brought[name]}\n" for name in sorted(brought.keys() - locked.keys())]
    if brought["torch"].split("+")[0] != locked["torch"] or not lines:
        raise SystemExit(f"torch {brought['torch']} of the report is no CUDA build of the lock's")
    return HEADER.format(torch=f"torch {brought['torch']}") + "".join(lines)


if __name__ == "__main__":
    read = json.loads(Path(sys.argv[1]).read_text())
    made = cuda_lock(read, (FOLDER / "train.lock").read_text())
    (FOLDER / "cuda.lock").write_text(made)
