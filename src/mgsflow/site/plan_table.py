"""The plan by rule: number, destination and resources of jobs, and the expected time of some."""

from __future__ import annotations

from collections.abc import Iterable

from mgsflow.config import Settings
from mgsflow.core.markdown import markdown_table
from mgsflow.estimate import estimate
from mgsflow.site.profile import Request, Site
from mgsflow.stages import RULES

# Seconds that one thread takes for 1000 galaxies with 1000 joint draws of nine quantities, without
# reading: docs/performance.md, "Sampling", on an Intel Xeon
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
    """The plan as a Markdown table; rules with the same requests share a row.

    CPUs, memory and the time limit are those of one job's first attempt. The estimate, where there
    is one (`estimated_hours`), is for one job as well.
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
    """Estimated hours of one job by rule, for a run on SDSS's services; not measured.

    For stamps: the core seconds of mgsflow.estimate divided by the job's threads, without
    downloads. For training: the paper's rates, on an A100 and a T4. For sampling: the rate in
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
    """The rule's position in the DAG, which has the order of the stages."""
    return list(RULES).index(request.rule)
