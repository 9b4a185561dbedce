"""Snakemake as a user starts it, which asks SLURM for its jobs each second.

The executor waits ten seconds longer after each question that finds no job ended, up to three
minutes, and no setting shortens it. That spares the controller of a real cluster; here, where jobs
take ten seconds, half of every run would be waiting. The jobs start `python -m snakemake`.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 1

Executor.next_seconds_between_status_checks = property(lambda executor: SECONDS, lambda *_: None)

if __name__ == "__main__":
    main()
