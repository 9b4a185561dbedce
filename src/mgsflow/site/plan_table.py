"""The plan by rule: how many jobs, where, with what; and how long some of them should take."""

from __future__ import annotations

from collections.abc import Iterable

from mgsflow.config import Settings
from mgsflow.core.markdown import markdown_table
from mgsflow.estimate import estimate
from mgsflow.site.profile import Request, Site
from mgsflow.stages import RULES

# Seconds of one thread for 1000 galaxies with 1000 joint draws of nine quantities, reading not
# counted: docs/performance.md, "Sampling", on an Intel Xeon
SAMPLING_SECONDS = 16.5
COLUMNS = (
    "rule",
    "jobs",
    "environment",
    "partition",
    "GPU",
    "CPUs",
    "memory [GB]",
    "limit [h]",
    "estimate [h]",
)


def plan_table(site: Site) -> str:
    """A Markdown table: rules that ask for the same stand in one row.

    CPUs, memory and the time limit are those of one job's first attempt; the estimate is of one job
    as well, where there is one (`estimated_hours`).
    """
    hours = estimated_hours(site.settings, site.requests)
    rows: dict[tuple[str, ...], list[Request]] = {}
    for request in sorted(site.requests, key=_position):
        alone = request.rule if request.jobs > 1 or request.rule in hours else ""
        key = (alone, *_cells(request, RULES[request.rule].environment))
        rows.setdefault(key, []).append(request)
    lines = []
    for (_, *cells), requests in rows.items():
        expected = hours.get(requests[0].rule)
        lines.append(
            [
                ", ".join(request.rule for request in requests),
                str(sum(request.jobs for request in requests)),
                *cells,
                "–" if expected is None else f"{expected:.2f}",
            ]
        )
    total = sum(request.jobs for request in site.requests)
    lines.append(["all", str(total), *["–"] * (len(COLUMNS) - 2)])
    return markdown_table(COLUMNS, lines)


def estimated_hours(settings: Settings, requests: Iterable[Request]) -> dict[str, float]:
    """Hours of one job of a rule, for a run on SDSS's services: arithmetic, not a measurement.

    Cutting stamps by mgsflow.estimate, its core seconds by the job's threads, downloads not
    counted; training at the paper's rates, on an A100 and a T4; sampling at the rate of
    docs/performance.md.
    """
    if settings.sky != "sdss":
        return {}
    by_rule = {request.rule: request for request in requests}
    run = estimate(settings)
    draws = run.judged * settings.posteriors.draws
    hours = {
        "stamps": run.cpu_hours / settings.stamps.shards / settings.compute.stamp_threads,
        "train_vae": run.vae_hours,
        "train_flow": run.flow_hours / by_rule["train_flow"].jobs if "train_flow" in by_rule else 0,
        "sample_posteriors": SAMPLING_SECONDS * draws / 1e6 / 3600,
    }
    return {rule: value for rule, value in hours.items() if rule in by_rule and value}


def _cells(request: Request, environment: str) -> list[str]:
    return [
        environment,
        request.partition or "–",
        str(request.gpus or "–"),
        str(request.cpus),
        "–" if request.memory is None else f"{request.memory / 1000:g}",
        "–" if request.minutes is None else f"{request.minutes / 60:.3g}",
    ]


def _position(request: Request) -> int:
    """The order of the DAG, which is that of the stages."""
    return list(RULES).index(request.rule)
