"""Disk space; for a run on this machine alone also its memory and processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mgsflow.config import Settings
from mgsflow.core.disk import free_space
from mgsflow.estimate import estimate, human
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.profile import Site

MARGIN = 1.2  # for files not counted: tables, checkpoints, models, figures, the archive


def check_disk(site: Site) -> Iterator[Finding]:
    """Whether the run's files fit on the disk that holds its results."""
    folder = Path("results")
    free, _ = free_space(folder)
    needed = needed_disk(site.settings, _at_once(site))
    where = f"{human(free)} free for {folder.resolve()}"
    if needed is None:
        yield ok("disk", f"{where}; there is no estimate of what a run of this sky takes")
    elif free < needed:
        yield failure(
            "disk",
            f"{where}; the run takes about {human(needed)}",
            "Free space, or make `results` a link to a file system with more. The space needed is "
            "proportional to the number of galaxies (selection: {sample_size: ...}).",
        )
    else:
        yield ok(
            "disk",
            f"{where}; the run takes about {human(needed)}. This check does not see quotas: use "
            "`quota -s` or your site's own command",
        )


def needed_disk(settings: Settings, jobs_at_once: int) -> float | None:
    """Largest disk use of a run on SDSS's services, in bytes; None for other skies.

    The sum of: the stamps, with those being cut counted twice; the downloads of the jobs that
    run at once, or all downloads if they are kept; the reply; and the joint draws, 4 bytes each,
    of the validation and test sets.
    """
    if settings.sky != "sdss":
        return None
    run = estimate(settings)
    at_once = min(jobs_at_once, settings.stamps.shards)
    in_work = run.stamp_bytes * at_once / settings.stamps.shards
    downloads = run.disk_bytes * (1 if settings.network.keep_downloads else at_once)
    quantities = len(settings.targets.properties) + len(settings.targets.lines)
    draws = run.judged * settings.posteriors.draws * quantities * 4 * len(settings.flows.variants)
    return MARGIN * (run.stamp_bytes + in_work + downloads + run.query_bytes + draws)


def _at_once(site: Site) -> int:
    """Number of jobs that cut stamps at once, according to the profile."""
    options = site.options
    limit = (options.get("resources") or {}).get("downloads")
    return int(limit or options.get("jobs") or options.get("cores") or 1)


def check_machine(site: Site) -> Iterator[Finding]:
    """Memory and processors of this machine, where the run stays on it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    largest = max(site.requests, key=lambda request: request.memory or 0, default=None)
    if largest and (largest.memory or 0) > total:
        yield warning(
            "memory",
            f"{total:,} MB in this machine; {largest.rule} requests "
            f"{largest.memory:,} MB, which is for the paper's sample",
            "Run fewer galaxies (selection: {sample_size: ...}), or use a larger machine; "
            "docs/demo.md says what the demo takes.",
        )
    elif largest:
        yield ok("memory", f"{total:,} MB in this machine, {largest.memory:,} for {largest.rule}")
    cores, own = site.options.get("cores"), len(os.sched_getaffinity(0))
    if cores and cores > own:
        yield warning(
            "processors",
            f"the profile plans with {cores} cores, but this process may use {own}",
            f"cores: {own} in the profile, or --cores {own}",
        )
    else:
        yield ok("processors", f"{own}, of which the profile uses {cores}")
