"""Whether SLURM answers, and can run the jobs that the profile requests."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterator

from mgsflow.site.commands import ask
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.profile import Request, Site
from mgsflow.site.slurm import Node, answers, describe_gpus, read_nodes

COMMANDS = ("sbatch", "squeue", "sinfo", "scontrol", "scancel", "srun")


def check_slurm() -> Iterator[Finding]:
    """Check that SLURM's commands run and that its controller answers."""
    commands = {name: ask(name, "--version", seconds=20) for name in COMMANDS}
    absent = [name for name, answer in commands.items() if not answer.good]
    if absent:
        yield failure(
            "SLURM",
            f"{', '.join(absent)}: {commands[absent[0]].words}",
            "Run this on a login node of the cluster, load its SLURM module if it has one, or use "
            "profiles/local.",
        )
        return
    ping = ask("scontrol", "ping", seconds=30)
    if not ping.good or not answers(ping.out):
        yield failure(
            "SLURM",
            f"slurmctld does not answer: {ping.words}",
            "Ask the site's administrators; `scontrol ping` must say UP.",
        )
        return
    yield ok("SLURM", f"{commands['sinfo'].out.strip()}; {ping.out.strip().splitlines()[0]}")
    yield from _without_variables()


def _without_variables() -> Iterator[Finding]:
    """Whether SLURM answers without SLURM_CONF.

    The executor's job steps drop all SLURM_... variables but the job's own, SLURM_CONF included.
    A node may still get its configuration from its slurmd: the doctor's jobs test that there.
    """
    own = os.environ.get("SLURM_CONF")
    if own and not ask("env", "-u", "SLURM_CONF", "scontrol", "ping").good:
        yield warning(
            "SLURM_CONF",
            f"SLURM answers here only with SLURM_CONF={own}, which Snakemake's job steps do not "
            "pass on. The doctor's jobs, if they ran, test SLURM_CONF on the nodes: that decides",
            "If no job was sent: `env -u SLURM_CONF scontrol ping` on a node must say UP.",
        )


def check_partitions(site: Site) -> Iterator[Finding]:
    """Whether each partition of the profile exists, is up, and fits each rule's largest request."""
    nodes = read_nodes()
    names = sorted({node.partition for node in nodes})
    for partition, requests in site.partitions.items():
        check = f"partition {partition}".strip()
        if not partition:
            rules = _rules(requests)
            yield warning(
                "partition",
                f"the profile names none for {rules}: SLURM's default is used",
                "Name one in default-resources of the profile.",
            )
            continue
        listed = [name.strip() for name in partition.split(",")]  # SLURM takes the first to start
        absent = [name for name in listed if name not in names]
        for name in absent:
            yield failure(
                f"partition {name}",
                f"no such partition; the profile sends {_rules(requests)} there. There are: "
                + (", ".join(names) or "none"),
                f"Replace `{name}` in the profile by a partition of your site.",
            )
        if not absent:
            own = [node for node in nodes if node.partition in listed]
            yield from _check_partition(check, own, requests)
            last = [request for request in site.last if request.partition == partition]
            yield from _check_last(check, [node for node in own if _is_up(node)], requests, last)


def _check_partition(check: str, nodes: list[Node], requests: list[Request]) -> Iterator[Finding]:
    up = [node for node in nodes if _is_up(node)]
    if not up:
        yield failure(
            check,
            f"its state is {nodes[0].partition_state}: it accepts no jobs, or starts none",
            "Wait, or name another partition in the profile.",
        )
        return
    nodes = _each_once(up)
    usable = [node for node in nodes if node.is_usable]
    if not usable:
        states = ", ".join(sorted({node.state for node in nodes}))
        yield failure(
            check,
            f"none of its {len(nodes)} nodes can be used ({states})",
            "Wait, or name another partition in the profile.",
        )
        return
    limit = _longest(up)
    troubles = [f for request in requests for f in _fit(check, nodes, usable, limit, request)]
    yield from troubles
    if not any(finding.status == "failure" for finding in troubles):
        yield ok(
            check,
            f"up, {len(usable)} of {len(nodes)} nodes usable, {describe_gpus(usable)}, "
            f"{_limit(limit)}; has room for {_rules(requests)}",
        )


def _is_up(node: Node) -> bool:
    return node.partition_state == "up"


def _each_once(nodes: list[Node]) -> list[Node]:
    """The nodes without repetition: a node may be in several partitions."""
    return list({node.name: node for node in nodes}.values())


def _longest(nodes: list[Node]) -> int | None:
    """Largest time limit of the nodes' partitions, in minutes; None if one has no limit."""
    limits = [node.limit for node in nodes]
    return None if None in limits else max(limits, default=None)


def _fit(
    check: str, nodes: list[Node], usable: list[Node], limit: int | None, request: Request
) -> Iterator[Finding]:
    """Whether one rule's jobs can run on a node of the partition."""
    if limit and request.minutes and request.minutes > limit:
        yield failure(
            check,
            f"{request.rule} asks for {request.minutes} min, the partition allows {limit}: such a "
            "job waits for ever",
            f"Set {request.rule}: runtime in set-resources of the profile to at most {limit}, or "
            "name another partition.",
        )
    if any(not node.lacks(request) for node in usable):
        return
    if request.gpus and not any(node.has(request.gpus) for node in nodes):
        yield failure(
            check,
            f"{request.rule} asks for {request.gpus}, the nodes have {describe_gpus(nodes)}",
            f"Write the model as sinfo does: {describe_gpus(nodes)}, in set-resources of the "
            "profile; or name another partition."
            if any(node.gpus for node in nodes)
            else f"Name a partition with GPUs for {request.rule} in set-resources of the profile.",
        )
        return
    best = min(usable, key=lambda node: len(node.lacks(request)))
    yield failure(
        check,
        f"no usable node has room for {request.rule}: {best.name} has "
        + ", ".join(best.lacks(request)),
        f"Name another partition for {request.rule} in set-resources of the profile, or ask for "
        "less there (mem_mb; threads are config.yaml's section `compute`).",
    )


def _check_last(
    check: str, nodes: list[Node], requests: list[Request], last: list[Request]
) -> Iterator[Finding]:
    """Whether jobs that fit at their first attempt still fit at the last, which requests more."""
    first = {request.rule: request for request in requests}
    short = [r for r in last if _fits(nodes, first[r.rule]) and not _fits(nodes, r)]
    if short:
        most = max(short, key=lambda request: request.minutes or 0)
        yield warning(
            check,
            f"the last attempt of {_rules(short)} asks for more than the partition gives "
            f"({most.rule}: {most.minutes} min, {most.memory:,} MB): after earlier failures such a "
            "job is refused, or waits for ever",
            "Set fixed numbers for them in set-resources of the profile (mem_mb, runtime), or set "
            "fewer `retries`.",
        )


def _fits(nodes: list[Node], request: Request) -> bool:
    limit = _longest(nodes)
    in_time = not limit or (request.minutes or 0) <= limit
    return in_time and any(not node.lacks(request) for node in nodes)


def check_submission(site: Site) -> Iterator[Finding]:
    """Let SLURM itself judge each distinct request: `sbatch --test-only` submits nothing."""
    by_options: dict[tuple[str, ...], list[Request]] = {}
    for request in site.requests:
        by_options.setdefault(submission(request), []).append(request)
    refused, starts = 0, []
    for options, requests in by_options.items():
        answer = ask("sbatch", "--test-only", *options, "--wrap", "true", seconds=60)
        if not answer.good:
            refused += 1
            yield failure(
                "sbatch --test-only",
                f"SLURM refuses the jobs of {_rules(requests)} ({' '.join(options)}): "
                f"{answer.words}",
                "Change the requests in the profile; `sinfo -o '%R %l %c %m %G'` shows what there "
                "is.",
            )
        elif start := re.search(r"to start at (\S+)", answer.err):
            starts.append((start[1], _rules(requests)))
    if not refused:
        last = max(starts, default=None)
        when = (
            f"; with today's queues the last to start would be {last[1]}, {last[0]}" if last else ""
        )
        yield ok("sbatch --test-only", f"SLURM takes all {len(by_options)} kinds of jobs{when}")


def submission(request: Request) -> tuple[str, ...]:
    """Options of sbatch for a rule's jobs, as the executor passes them."""
    size = [f"--cpus-per-task={request.cpus}"]
    if request.memory:
        size.append(f"--mem={request.memory}")
    if request.minutes:
        size.append(f"--time={request.minutes}")
    return (*request.options(), *size)


def check_account(site: Site) -> Iterator[Finding]:
    """Check the account, if the profile names one and SLURM keeps accounts."""
    named = {str(r.resources["slurm_account"]) for r in site.requests if _account(r)}
    known = _accounts()
    for account in sorted(named):
        if not known:
            yield warning(
                "account",
                f"{account} could not be checked: neither sacctmgr nor sshare names an account "
                f"of {getpass.getuser()}",
                "Ask the site's administrators, or test whether `sbatch -A` accepts it.",
            )
        elif account.lower() not in known:
            yield failure(
                "account",
                f"{account} is not among {getpass.getuser()}'s: {', '.join(sorted(known))}",
                "Set slurm_account in default-resources of the profile to one of them.",
            )
        else:
            yield ok("account", account)
    if not named and len(known) > 1:
        yield warning(
            "account",
            f"the profile names none, and there are {len(known)}: {', '.join(sorted(known))}",
            "Set slurm_account in default-resources of the profile, so that the right account is "
            "charged.",
        )


def _account(request: Request) -> str:
    return str(request.resources.get("slurm_account") or "")


def _accounts() -> set[str]:
    """The user's accounts, in lower case, from the same two commands that the executor uses."""
    user = getpass.getuser()
    for command in (
        ("sacctmgr", "-n", "-s", "list", "user", user, "format=account%256"),
        ("sshare", "-U", "--format", "Account%256", "--noheader"),
    ):
        answer = ask(*command)
        accounts = {line.strip().lower() for line in answer.out.splitlines() if line.strip()}
        if answer.good and accounts:
            return accounts
    return set()


def check_preemption() -> Iterator[Finding]:
    """How SLURM preempts jobs: Snakemake does not see the end of a job that SLURM cancels."""
    answer = ask("scontrol", "show", "config")
    lines = dict(
        (part.strip() for part in line.split("=", 1))
        for line in answer.out.splitlines()
        if "=" in line
    )
    mode, kind = lines.get("PreemptMode", ""), lines.get("PreemptType", "")
    if "CANCEL" in mode and "none" not in kind:
        yield warning(
            "preemption",
            f"PreemptMode={mode}: Snakemake 9.27 with its SLURM plugin 2.8 was seen to wait for "
            "ever for a job that was preempted in this way",
            "Choose partitions or a QOS whose jobs are not preempted; if a run hangs, interrupt it "
            "and start it again: it continues from what is complete.",
        )
    elif mode:
        yield ok("preemption", f"PreemptMode={mode}, {kind}")


def _limit(limit: int | None) -> str:
    return "no time limit" if limit is None else f"limit {limit} min"


def _rules(requests: list[Request]) -> str:
    """The rules' names, or their number if there are more than four."""
    names = [request.rule for request in requests]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} rules"
