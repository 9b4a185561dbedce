"""Snakemake's own reading of a profile and its own plan of a run, as JSON.

    python -m mgsflow.site.dryrun OUT --profile profiles/slurm [--configfile ...]

A process of its own: Snakemake keeps global state, and ends the process when it fails. The profile
goes through Snakemake's parser, and the jobs come from a dry run by the events that Snakemake hands
to logger plugins: neither its files nor its printed words are parsed here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from enum import Enum
from logging import LogRecord
from pathlib import Path
from typing import Any

from snakemake.cli import args_to_api, get_profile_dir, parse_args
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

# What the doctor looks at; all that the executor's plugin adds (slurm_...) comes on top.
OPTIONS = (
    "executor",
    "cores",
    "jobs",
    "resources",
    "latency_wait",
    "retries",
    "rerun_triggers",
    "rerun_incomplete",
    "software_deployment_method",
    "apptainer_args",
    "conda_prefix",
)
MANY_CORES = 4096  # of a dry run: fewer would clip the threads that jobs ask a cluster for
PLAN = "mgsflow-plan"

jobs: list[dict[str, Any]] = []
errors: list[str] = []


class LogHandler(LogHandlerBase):
    """A logger plugin that keeps the jobs of a dry run, and what went wrong."""

    writes_to_stream = True  # instead of Snakemake's own words
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            resources = {k: v for k, v in record.resources.items() if not k.startswith("_")}
            jobs.append(
                {"rule": record.rule_name, "threads": record.threads, "resources": resources}
            )
        elif event == LogEvent.ERROR or record.levelname in ("ERROR", "CRITICAL"):
            errors.append(_words(record.getMessage()))


def _words(message: str) -> str:
    """An error in one line: of a traceback the last one, which says what happened."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines and lines[0].startswith("Traceback") else " ".join(lines)


def main(arguments: list[str]) -> None:
    out, *arguments = arguments
    answer: dict[str, Any] = {"options": None, "file": None, "jobs": [], "errors": errors}
    try:
        _, args = parse_args(arguments)
        answer["options"] = _options(vars(args))
        answer["file"] = _profile_file(args.profile)
        if not args.snakefile or Path(args.snakefile).exists():
            answer["planned"] = _plan(arguments, args.executor or "local")
            answer["jobs"] = jobs
    except SystemExit:
        # the parser has said why on stderr
        errors.append("Snakemake does not accept the profile")
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
    Path(out).write_text(json.dumps(answer, default=_plain))


def _plan(arguments: list[str], executor: str) -> bool:
    """Fill `jobs` with the whole run, whatever is done of it. Returns whether Snakemake could."""
    # The plan is the same wherever the software comes from, and must not need it yet.
    os.environ["MGSFLOW_ENVIRONMENT"] = "active"
    LoggerPluginRegistry().register_plugin(f"snakemake_logger_plugin_{PLAN}", sys.modules[__name__])
    more = ["--dry-run", "--forceall", "--nolock", "--logger", PLAN]
    more += ["--software-deployment-method", "env-modules"]
    if executor != "local":
        more += ["--cores", str(MANY_CORES)]
    parser, args = parse_args([*arguments, *more])
    return args_to_api(args, parser)


def _options(args: dict[str, Any]) -> dict[str, Any]:
    own = {
        name: value
        for name, value in args.items()
        if name.startswith("slurm_") and value is not dataclasses.MISSING
    }
    limits = {name: limit.value for name, limit in (args["resources"] or {}).items()}
    return {name: args[name] for name in OPTIONS} | own | {"resources": limits}


def _profile_file(profiles: list[str] | None) -> str | None:
    found = get_profile_dir(str(profiles[-1])) if profiles else None
    return str(found[1]) if found else None


def _plain(value: Any) -> Any:
    """What JSON does not know: sets of enumerations, and values that are not known yet."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(_plain(item) for item in value)
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1:])
