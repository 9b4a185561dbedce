"""Print where the time of a run went, by rule, and its overhead. For docs/demo.md.

    python benchmarks/budget.py results/demo

The table comes from Snakemake's benchmark files. The overhead, defined in dag_overhead.py, comes
from Snakemake's records of the run and from the start-up time of a process of each stage, which is
measured when this script runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from dag_overhead import last_run, overhead, report
from startup import starts

from mgsflow.report.writing import to_markdown
from mgsflow.stages import STAGES


def budget(results: Path) -> pd.DataFrame:
    """Jobs, wall seconds and largest memory of each rule, in descending order of time."""
    rows = []
    for path in sorted((results / "benchmarks").glob("*.tsv")):
        run = pd.read_csv(path, sep="\t").iloc[-1]
        rule = path.stem
        for prefix in ("train-flow", "sample-posteriors", "simulate-frames", "stamps"):
            rule = prefix if rule.startswith(prefix) else rule
        memory = pd.to_numeric(run["max_rss"], errors="coerce")
        rows.append({"Rule": rule, "seconds": float(run["s"]), "memory": memory})
    table = (
        pd.DataFrame(rows)
        .groupby("Rule")
        .agg(jobs=("seconds", "size"), seconds=("seconds", "sum"), memory=("memory", "max"))
    )
    table = table.sort_values("seconds", ascending=False).reset_index()
    return pd.DataFrame(
        {
            "Rule": table["Rule"],
            "Jobs": table["jobs"],
            "Seconds, all jobs": table["seconds"].round(1),
            "Largest memory [MB]": table["memory"].fillna(0).round().astype(int),
        }
    )


def overhead_text(results: Path) -> str:
    """The overhead of the run that made `results`, as text."""
    run = last_run(results.resolve().parents[1])
    stages = sorted({job.stage for job in run.jobs if job.stage in STAGES})
    seconds = {name: found["cpu_seconds"] for name, found in starts(stages, 2).items()}
    return report(overhead(run, seconds), run)


if __name__ == "__main__":
    table = budget(Path(sys.argv[1]))
    print(to_markdown(table))
    print(f"Sum: {table['Seconds, all jobs'].sum():.0f} s\n")
    print(overhead_text(Path(sys.argv[1])))
