"""The command line: `mgsflow STAGE`, one command a rule.

A stage is a function with keyword-only parameters, and its command line is its signature: a Path
is a path, a list of Paths several, a section of the settings its JSON. Only the stage that is
called is imported, and only once its options are read: no help and no misspelt option waits for
torch.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable
from pathlib import Path

from mgsflow import __version__
from mgsflow.core.disk import disk_fault
from mgsflow.core.errors import UserError
from mgsflow.core.job import environment_name, job_line
from mgsflow.core.signature import declared
from mgsflow.stages import STAGES, TOOLS, Stage

# One setting rules all numerical libraries. It must be in the environment before they are
# imported; a container's clean environment drops what the shell exported.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 if the user's input is wrong, or 1 if the fault is ours."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _top_parser()
    if not arguments or arguments[0] not in STAGES | TOOLS:
        parser.parse_args(arguments or ["--help"])
        return 2
    stage = (STAGES | TOOLS)[arguments[0]]
    values: dict[str, object] = {}
    try:
        _set_threads(arguments)
        declaration = declared(stage.module, stage.function)
        values = _stage_arguments(stage, declaration, arguments[1:])
        function = getattr(importlib.import_module(stage.module), stage.function)
        if stage.name in STAGES:
            print(job_line(stage.name, __version__), file=sys.stderr, flush=True)
        function(**values)
    except UserError as error:
        print(f"mgsflow {stage.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"mgsflow {stage.name}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        print(f"mgsflow {stage.name}: {_absent(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        words = disk_fault(error, [path for path in values.values() if isinstance(path, Path)])
        if words:
            print(f"mgsflow {stage.name}: {words}", file=sys.stderr)
            return 2
        traceback.print_exc()
        print(
            f"mgsflow {stage.name}: this is a fault of mgsflow {__version__}, not of your input; "
            "please report it with the lines above",
            file=sys.stderr,
        )
        return 1
    return 0


def _absent(error: ModuleNotFoundError) -> str:
    """Which module is not in which environment, and how it comes there."""
    name = environment_name()
    if name is None:
        return (
            f"no module {error.name!r} in the environment of {sys.executable}: `make env` installs "
            "what the stages need into .venv, and a rule's `conda:` and `container:` name the rest"
        )
    return (
        f"no module {error.name!r} in the environment {name!r}: what a rule imports is listed in "
        f"pyproject.toml under {name!r} and pinned in envs/{name}.lock; then `make lock` "
        "and `make images`"
    )


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, STAGES))
    listing = "\n".join(
        f"{title}:\n" + "\n".join(f"  {s.name:<{width}}  {s.help}" for s in commands.values())
        for title, commands in (("stages, in the order of the DAG", STAGES), ("tools", TOOLS))
    )
    parser = argparse.ArgumentParser(
        prog="mgsflow",
        description="Posteriors of galaxy properties and emission lines from SDSS images.",
        epilog=listing + "\n\n`mgsflow STAGE --help` describes a stage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mgsflow {__version__}")
    parser.add_argument("stage", metavar="STAGE", choices=list(STAGES | TOOLS), help="what to run")
    return parser


def _set_threads(arguments: list[str]) -> None:
    """Before a library is imported. Raises UserError where there are to be none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--threads", nargs="?")  # what is no number the stage's own parser refuses
    threads = parser.parse_known_args(arguments)[0].threads
    if threads is None:
        return
    if threads.removeprefix("-").isdecimal() and int(threads) < 1:
        raise UserError(f"--threads must be 1 or more, not {threads}")
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, threads))


def _stage_arguments(stage: Stage, function: Callable, arguments: list[str]) -> dict[str, object]:
    """The keyword arguments of a stage, from its command line."""
    parser = argparse.ArgumentParser(
        prog=f"mgsflow {stage.name}",
        description=inspect.getdoc(function),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        _add_option(parser, parameter, hints[parameter.name])
    if "threads" not in hints:
        parser.add_argument(
            "--threads", type=int, metavar="N", help="threads of numerical libraries"
        )
    values = vars(parser.parse_args(arguments))
    return {p.name: _convert(stage, p.name, hints[p.name], values[p.name]) for p in parameters}


def _add_option(
    parser: argparse.ArgumentParser, parameter: inspect.Parameter, hint: object
) -> None:
    required = parameter.default is parameter.empty
    kind, several = _unpack(hint)
    default = None if required else parameter.default
    option = f"--{parameter.name.replace('_', '-')}"
    if kind is bool:
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default or False)
        return
    convert = {int: int, float: float, Path: Path}.get(kind, str)
    # An optional input that a run lacks comes as an option without a value.
    nargs = "*" if several else "?" if default is None and not required else None
    parser.add_argument(
        option,
        type=convert,
        nargs=nargs,
        required=required,
        default=default,
        metavar={int: "N", float: "X", Path: "PATH", str: "TEXT"}.get(kind, "JSON"),
    )


def _unpack(hint: object) -> tuple[type, bool]:
    """The plain type behind `X`, `X | None` and `list[X]`, and whether it is a list."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    return typing.cast(type, hint), False


def _convert(stage: Stage, name: str, hint: object, value: object) -> object:
    from pydantic import BaseModel

    from mgsflow.config import parse

    kind, several = _unpack(hint)
    if value is None or several or not issubclass(kind, BaseModel):
        return value
    return parse(kind, str(value), f"{stage.name} --{name.replace('_', '-')}")


if __name__ == "__main__":
    sys.exit(main())
