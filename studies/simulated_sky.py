"""Compare the simulated sky with the real one: the figure and tables of docs/simulated-sky.md.

    python studies/simulated_sky.py

The folder of the real data is given by MGSFLOW_REAL_DATA or --real. Writes docs/simulated-sky.png
and studies/results/simulated_sky.json and prints the tables, which the page quotes in full.
`--tables` prints them from the existing JSON file, without any data.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from simulated_sky_samples import Samples, draw_samples, inferred_quantities
from simulated_sky_statistics import (
    colours_by_redshift,
    nearby,
    redshift_r2,
    redshifts,
    rounded,
    target_r2,
    told_apart,
)
from simulated_sky_tables import markdown
from threadpoolctl import threadpool_limits

from mgsflow.core.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURE = ROOT / "studies/results/simulated_sky.json", ROOT / "docs/simulated-sky.png"
GOAL = 0.05  # allowed difference of a median colour [mag] and of the R2 of the redshift
SETTLED = 0.02  # mag: if the error of a real median is smaller, it decides whether the goal is met


def compare(samples: Samples, seed: int) -> dict[str, Any]:
    """All comparisons of two samples, as stored in the JSON file."""
    halves = samples.halves
    sizes = {"simulated": len(samples.simulated), **{k: len(v) for k, v in halves.items()}}
    return {
        "selection": samples.counts,
        "galaxies": sizes,
        "colours": {k: colours_by_redshift(v, samples.simulated, seed) for k, v in halves.items()},
        "redshifts": redshifts(samples.real, halves, samples.simulated),
        "redshift_r2": redshift_r2(samples.real, halves, samples.simulated),
        "told_apart": told_apart(halves, samples.simulated),
        "nearby": nearby(samples.resolve, samples.volume, seed),
    }


def goals(result: dict[str, Any]) -> dict[str, Any]:
    """Which goals are met, on the half of the real galaxies that was not used for tuning.

    `halves_within` is the result of the other real half, which no simulation can expect to exceed.
    """
    medians, tuning = result["colours"]["held_out"], result["colours"]["tuning"]
    settled = [row for row in medians if row["error"] < SETTLED]
    other = {(row["low"], row["colour"]): row["real"] for row in tuning}
    apart = [other[row["low"], row["colour"]] - row["real"] for row in medians]
    r2, gap = result["targets"]["r2"], result["redshift_r2"]
    ordered = sorted(r2, key=r2.__getitem__, reverse=True)
    return {
        "medians": len(medians),
        "medians_within": within(medians),
        "tuning_within": within(tuning),
        "halves_within": sum(abs(round(value, 3)) <= GOAL for value in apart),
        "medians_beyond_two_errors": sum(
            abs(row["difference"]) > GOAL + 2 * row["error"] for row in medians
        ),
        "settled": len(settled),
        "settled_within": within(settled),
        "r2_gap": {name: rounded(row["simulated"] - row["real"]) for name, row in gap.items()},
        "easiest": ordered[:2],
        "hardest": ordered[-1],
    }


def within(rows: list[dict[str, Any]]) -> int:
    return sum(abs(row["difference"]) <= GOAL for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the simulated sky with the real one.")
    default = os.environ.get("MGSFLOW_REAL_DATA")
    parser.add_argument("--real", type=Path, default=default, help="folder of real data")
    parser.add_argument(
        "--galaxies", type=int, default=150_000, help="galaxies simulated for the colours"
    )
    parser.add_argument(
        "--volume", type=int, default=40_000, help="galaxies simulated in RESOLVE's volume"
    )
    parser.add_argument(
        "--inferred", type=int, default=20_000, help="galaxies simulated for the targets"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="only print the tables")
    options = parser.parse_args()
    if not options.tables:
        if not options.real or not options.real.is_dir():
            parser.error(f"--real {options.real}: no such folder; name that of the real data here "
                         "or in MGSFLOW_REAL_DATA")  # fmt: skip
        with threadpool_limits(limits=1):
            _run(options)
    print(markdown(read_json(RESULTS)))


def _run(options: argparse.Namespace) -> None:
    """Write all comparisons and the figure to their files."""
    from simulated_sky_figure import draw  # import Matplotlib only to draw

    sizes = {name: getattr(options, name) for name in ("galaxies", "volume", "inferred", "seed")}
    samples = draw_samples(options.real, options.galaxies, options.volume, options.seed)
    targets = target_r2(*inferred_quantities(options.inferred, options.seed))
    result = {"made": sizes, "targets": targets, **compare(samples, options.seed)}
    write_json(RESULTS, result | {"goals": goals(result)})
    draw(samples, FIGURE)


if __name__ == "__main__":
    main()
