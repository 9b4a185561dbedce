"""SLURM's partitions and nodes, as sinfo reports them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mgsflow.site.commands import ask
from mgsflow.site.profile import Gpus, Request

# partition, node, its state, time limit, state of the node, CPUs, memory [MB], GRES: in SLURM 22.05
# (Debian's) and since; not --json, whose keys change with the release
FORMAT = "%R|%N|%a|%l|%T|%c|%m|%G"
# States of a node that accepts no job now or soon (sinfo's "NODE STATE CODES")
OUT = ("down", "drain", "drng", "fail", "error", "unknown", "inval", "future", "maint", "perfctrs")


@dataclass(frozen=True)
class Node:
    """A node within one partition."""

    partition: str
    name: str
    partition_state: str
    limit: int | None  # minutes that a job may take; None if there is no limit
    state: str
    cpus: int
    memory: int  # MB
    gpus: tuple[Gpus, ...]

    @property
    def is_usable(self) -> bool:
        # "*": the node does not answer
        return not self.state.startswith(OUT) and not self.state.endswith("*")

    def lacks(self, request: Request) -> list[str]:
        """The resources that are too few for a request, in words."""
        shortages = []
        if request.cpus > self.cpus:
            shortages.append(f"{self.cpus} CPUs of {request.cpus}")
        if request.memory and request.memory > self.memory:
            shortages.append(f"{self.memory:,} MB of {request.memory:,}")
        if request.gpus and self.has(request.gpus) < request.gpus.count:
            own = ", ".join(map(str, self.gpus)) or "no GPU"
            shortages.append(f"{own} in place of {request.gpus}")
        return shortages

    def has(self, gpus: Gpus) -> int:
        """Number of GPUs of the model; SLURM compares the model's name exactly."""
        return sum(own.count for own in self.gpus if gpus.model in ("", own.model))


def read_nodes() -> list[Node]:
    """All nodes of all partitions, those that are down included.

    Raises RuntimeError with sinfo's message if it fails.
    """
    answer = ask("sinfo", "--all", "--Node", "--noheader", "-o", FORMAT)
    if not answer.good:
        raise RuntimeError(answer.words)
    return [_node(line) for line in answer.out.splitlines() if line.count("|") == 7]


def answers(ping: str) -> bool:
    """Whether `scontrol ping` reached a controller: one of several is enough."""
    return " UP" in ping


def _node(line: str) -> Node:
    partition, name, up, limit, state, cpus, memory, gres = (p.strip() for p in line.split("|"))
    return Node(
        partition=partition,
        name=name,
        partition_state=up,
        limit=minutes(limit),
        state=state,
        cpus=int(cpus.rstrip("+")),
        memory=int(memory.rstrip("+")),
        gpus=read_gres(gres),
    )


def minutes(limit: str) -> int | None:
    """Minutes of SLURM's [days-]hours:minutes:seconds, or minutes:seconds; None if unlimited."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not match:
        return None
    days, hours, mins, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + mins


def read_gres(text: str) -> tuple[Gpus, ...]:
    """The GPUs in a GRES column, such as `gpu:a100:4(S:0-1),nvme:1`."""
    gpus = []
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        kind, *rest = part.split(":")
        if kind == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            gpus.append(Gpus(rest[0] if rest else "", count))
    return tuple(gpus)


def describe_gpus(nodes: list[Node]) -> str:
    """The GPUs of nodes as a profile would request one: gpu:MODEL."""
    models = sorted({f"gpu:{gpus.model}".rstrip(":") for node in nodes for gpus in node.gpus})
    return ", ".join(models) or "no GPU"
