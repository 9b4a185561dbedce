"""Snakemake's own reading of a profile and its own plan of a run, as JSON.

    python -m mgsflow.site.dryrun OUT --profile profiles/slurm [--configfile ...]

It runs as a process of its own, because Snakemake keeps global state and ends the process when it
fails. Snakemake's parser reads the profile, and the jobs come from a dry run, through the events
that Snakemake sends to logger plugins: this module parses neither its files nor its printed output.
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

# Options that the doctor checks, beside all those of the executor's plugin (slurm_...).
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
MANY_CORES = 4096  # for the dry run: fewer would limit the threads that jobs request of a cluster
PLAN = "mgsflow-plan"

jobs: list[dict[str, Any]] = []
errors: list[str] = []


class LogHandler(LogHandlerBase):
    """A logger plugin that records the jobs and the errors of a dry run."""

    writes_to_stream = True  # in place of Snakemake's own output
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
    """An error in one line; of a traceback the last line, which says what happened."""
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
        # the parser has printed the reason on stderr
        errors.append("Snakemake does not accept the profile")
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
    Path(out).write_text(json.dumps(answer, default=_plain))


def _plan(arguments: list[str], executor: str) -> bool:
    """Fill `jobs` with the whole run, completed jobs included. Returns whether Snakemake could."""
    # The plan does not depend on the source of the software, and must work before it is installed.
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
    location = get_profile_dir(str(profiles[-1])) if profiles else None
    return str(location[1]) if location else None


def _plain(value: Any) -> Any:
    """A value that JSON does not know: a set of enumerations, or a value not known yet."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(_plain(item) for item in value)
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1:])
