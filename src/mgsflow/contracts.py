"""Which stage reads and writes which files: the table of docs/contracts.md."""

from __future__ import annotations

from collections.abc import Iterator

from mgsflow.core.contract import DESCRIPTION, HISTORY, TELEMETRY, WEIGHTS, Model, Paths, Stage
from mgsflow.core.markdown import markdown_table
from mgsflow.report.contents import ITEMS, Item
from mgsflow.stages import STAGES

_HEAD = ("stage", "environment", "reads", "writes", "if the run")


def contracts() -> None:
    """Print the table of stages: environment, files read and written, and when a run has them.

    Paths are relative to results/RUN; those that begin with @ are files that a setting names.
    """
    print(contract_table())


def contract_table() -> str:
    """The table in Markdown, a line a stage, table or figure, in the order of the DAG."""
    shown = {item.command for item in ITEMS.values()}
    stages = [stage for name, stage in STAGES.items() if name not in shown]
    rows = [_row(stage.name, stage.environment, stage) for stage in stages]
    rows += [_row(f"{item.command}: {item.title}", "report", item) for item in ITEMS.values()]
    return markdown_table(_HEAD, rows)


def _row(name: str, environment: str, part: Stage | Item) -> list[str]:
    reads = [_code(path) for paths in part.reads.values() for path in _each(paths)]
    when = _code(part.when) if part.when else ""
    return [name, environment, ", ".join(reads), ", ".join(_written(part)), when]


def _written(part: Stage | Item) -> Iterator[str]:
    if isinstance(part, Item):
        yield from map(_code, part.writes.values())
        return
    paths = [output.path for output in part.outputs.values()]
    model = next((p.removesuffix(WEIGHTS) for p in paths if p.endswith(WEIGHTS)), None)
    if model is not None:
        # a model is a folder
        yield _code(model)
        files = {f"{model}{name}" for name in (WEIGHTS, DESCRIPTION, HISTORY, TELEMETRY)}
        paths = [path for path in paths if path not in files]
    yield from map(_code, paths)


def _each(paths: Paths) -> Iterator[str]:
    for path in paths if isinstance(paths, tuple) else (paths,):
        yield f"{path.folder}/" if isinstance(path, Model) else path


def _code(path: str) -> str:
    return f"`{path}`"
