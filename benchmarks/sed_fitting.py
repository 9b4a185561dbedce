"""Store the comparison of a run with SED fitting, together with the sampling time on a GPU.

python benchmarks/sed_fitting.py results/RUN/evaluation/compare-speed.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mgsflow.core.files import read_json, write_json

RESULTS = Path(__file__).parent / "results"
SAMPLED = "Posterior.sample, all nine quantities"  # name of the row in sampling.json


def gpu(comparison: dict[str, Any], sampling: dict[str, Any]) -> dict[str, Any]:
    """Seconds per galaxy of sampling on the GPU, and the ratio of bagpipes' time to it.

    For one ensemble member, without reading and encoding the stamps. Raises ValueError if the
    number of draws differs from bagpipes'.
    """
    run = sampling["cuda"]
    if run["draws"] != comparison["fits"]["draws"]:
        raise ValueError(
            f"sampling.json has {run['draws']} draws a galaxy, bagpipes "
            f"{comparison['fits']['draws']}: times are compared at equal draws"
        )
    seconds = next(row["seconds"] for row in run["rows"] if row["name"] == SAMPLED)
    each = seconds / run["galaxies"]
    return {
        "card": run["machine"]["card"],
        "seconds": each,
        "ratio": comparison["core_seconds"]["bagpipes"]["batch"] / each,
    }


if __name__ == "__main__":
    compared = read_json(Path(sys.argv[1]))
    found = {"comparison": compared, "gpu": gpu(compared, read_json(RESULTS / "sampling.json"))}
    write_json(RESULTS / "sed.json", found)
