"""`mgsflow doctor`: check a site before the first job."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgsflow.core.errors import UserError
from mgsflow.site.checks_deployment import check_deployment
from mgsflow.site.checks_machine import check_disk, check_machine
from mgsflow.site.checks_probe import check_here, check_jobs
from mgsflow.site.checks_profile import check_plan, check_profile
from mgsflow.site.checks_services import judge_services, service_urls
from mgsflow.site.checks_slurm import (
    check_account,
    check_partitions,
    check_preemption,
    check_slurm,
    check_submission,
)
from mgsflow.site.deployment import used_environments
from mgsflow.site.findings import Finding, look, warning
from mgsflow.site.plan_table import plan_table
from mgsflow.site.probe import ask_service
from mgsflow.site.profile import Site, read_site
from mgsflow.stages import RULES

SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failure": ("FAILURE", "red")}
Check = tuple[str, Callable[[], Iterable[Finding]]]


def doctor(
    *,
    profile: Path = Path("profiles/slurm"),
    configfile: list[Path] | None = None,
    submit: bool = True,
    wait: float = 300.0,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Check a site before the first job and print each finding with its remedy.

    The doctor examines what `snakemake --profile PROFILE --configfile ...` would do in the current
    folder, the one that the run starts in: partitions and requests, the account, containers and
    images, disk, memory, the services, and the profile itself.

    GPUs are tested by real jobs, one small job for each kind of node, in the profile's own
    deployment: nothing else shows that the GPU, the image and the shared folder are available. The
    jobs take a minute if the queue is short; they are cancelled after --wait seconds. --no-submit
    skips them. --plan only prints what each rule requests, and --json prints the findings for
    programs.

    The exit code is 0 if no check failed, otherwise 2.
    """
    site = read_site(profile, configfile or [], attempts=not plan)
    if plan:
        if site.trouble:
            raise UserError(f"Snakemake cannot plan the run: {site.trouble}")
        print(plan_table(site))
        return
    findings = []
    for finding in examine(site, submit, wait):
        findings.append(finding)
        if not json:
            _progress(finding)
    if json:
        print(json_module.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        _print(site, findings)
    failures = sum(finding.status == "failure" for finding in findings)
    if failures:
        raise UserError(f"{failures} of {len(findings)} findings are failures; see their remedies")


def examine(site: Site, submit: bool, wait: float) -> Iterator[Finding]:
    """All findings of a site, one after the other."""
    for name, check in checks(site, submit, wait):
        yield from look(name, check)


def checks(site: Site, submit: bool, wait: float) -> Iterator[Check]:
    """The checks that apply to this site, cheap ones first."""
    by_rule = {request.rule: RULES[request.rule].environment for request in site.requests}
    yield "plan", lambda: check_plan(site)
    yield "profile", lambda: check_profile(site)
    yield "software", lambda: check_deployment(site, used_environments(by_rule))
    yield "disk", lambda: check_disk(site)
    if not site.on_slurm:
        yield "machine", lambda: check_machine(site)
        yield "training", lambda: check_here(site)
        yield "services", lambda: _services(site, "from this machine")
        return
    answers = list(look("SLURM", check_slurm))
    yield "SLURM", lambda: answers
    if any(finding.status == "failure" for finding in answers):
        return
    if not site.trouble:  # without a plan the jobs' requests are unknown
        yield "partitions", lambda: check_partitions(site)
        yield "submission", lambda: check_submission(site)
        yield "account", lambda: check_account(site)
    yield "preemption", check_preemption
    if submit:
        yield "jobs", lambda: check_jobs(site, by_rule, wait)
    else:
        yield "jobs", _no_jobs_sent
        yield "services", lambda: _services(site, "from this machine (not from the nodes)")


def _no_jobs_sent() -> Iterator[Finding]:
    yield warning(
        "jobs",
        "no job was sent (--no-submit): neither GPUs nor the nodes' file system were checked",
        "Run without --no-submit.",
    )


def _services(site: Site, where: str) -> Iterator[Finding]:
    urls = service_urls(site.settings)
    answers = {name: ask_service(url) for name, url in urls.items()}
    return judge_services(answers, where)


def _progress(finding: Finding) -> None:
    """Print a finding's status while jobs are pending; the table follows at the end."""
    if sys.stderr.isatty():
        print(f"{finding.check}: {SIGNS[finding.status][0]}", file=sys.stderr)


def _print(site: Site, findings: list[Finding]) -> None:
    table = Table(title=f"{site.profile} with run {site.settings.run}", title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("finding and remedy", overflow="fold")
    for finding in findings:
        word, colour = SIGNS[finding.status]
        text = Text(finding.seen)
        if finding.remedy:
            text.append(f"\n→ {finding.remedy}", style="bold")
        table.add_row(finding.check, Text(word, style=colour), text)
    counts = {
        word: sum(f.status == status for f in findings) for status, (word, _) in SIGNS.items()
    }
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(
        f"{counts['ok']} ok, {counts['warning']} warnings, {counts['FAILURE']} failures",
        highlight=False,
    )
