"""Print the time of a run by rule, from the benchmarks that Snakemake wrote: for docs/demo.md."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from mgsflow.report.writing import to_markdown


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


if __name__ == "__main__":
    table = budget(Path(sys.argv[1]))
    print(to_markdown(table))
    print(f"Sum: {table['Seconds, all jobs'].sum():.0f} s")
