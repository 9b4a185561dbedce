"""The command line is the stages' signatures."""

from __future__ import annotations

import errno
import inspect
import re
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from mgsflow import cli
from mgsflow.core.errors import UserError
from mgsflow.stages import STAGES, TOOLS, Stage


@pytest.fixture
def stage(monkeypatch):
    """Registers a function of this test as the only stage, called `toy`."""

    def register(function):
        module = type(sys)("toy_module")
        module.toy = function
        monkeypatch.setitem(sys.modules, "toy_module", module)
        monkeypatch.setattr(cli, "STAGES", {"toy": Stage("toy", "toy_module", "toy", "a toy")})

    return register


def test_options_become_typed_arguments(stage):
    got = {}

    def toy(*, shards: list[Path], seed: int, index: Path | None = None, rest: bool = False):
        got.update(shards=shards, seed=seed, index=index, rest=rest)

    stage(toy)
    assert cli.main(["toy", "--shards", "a", "b", "--seed", "3", "--index", "--rest"]) == 0
    assert got == {"shards": [Path("a"), Path("b")], "seed": 3, "index": None, "rest": True}
    assert cli.main(["toy", "--shards", "--seed", "3", "--index", "i", "--no-rest"]) == 0
    assert got == {"shards": [], "seed": 3, "index": Path("i"), "rest": False}


def test_the_users_fault_is_2_without_traceback_and_ours_is_1_with(stage, capsys):
    def toy(*, ours: bool = False):
        raise KeyError("x") if ours else UserError("catalogue.csv: no column objid")

    stage(toy)
    assert cli.main(["toy"]) == 2
    record, error = capsys.readouterr().err.splitlines()
    assert record.startswith('mgsflow toy 0.1.0 {"node"')
    assert error == "mgsflow toy: catalogue.csv: no column objid"
    assert cli.main(["toy", "--ours"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "fault of mgsflow" in error


def test_a_module_that_an_environment_lacks_is_named_with_it(stage, monkeypatch, capsys):
    def toy():
        import no_such_module  # noqa: F401

    stage(toy)
    assert cli.main(["toy"]) == 1
    error = capsys.readouterr().err
    assert "no module 'no_such_module'" in error and sys.executable in error
    monkeypatch.setattr(cli, "environment_name", lambda: "data")
    assert cli.main(["toy"]) == 1
    error = capsys.readouterr().err
    assert "in the environment 'data'" in error and "envs/data.lock" in error
    assert "Traceback" not in error


def test_threads_reach_the_libraries_before_they_are_imported(stage, monkeypatch, capsys):
    for name in cli.THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    seen = {}

    def toy():
        import os

        seen.update({name: os.environ[name] for name in cli.THREAD_VARIABLES})

    stage(toy)
    assert cli.main(["toy", "--threads", "3"]) == 0
    assert set(seen.values()) == {"3"}
    assert cli.main(["toy", "--threads=2"]) == 0
    assert set(seen.values()) == {"2"}
    assert cli.main(["toy", "--threads", "0"]) == cli.main(["toy", "--threads=-1"]) == 2
    assert "--threads must be 1 or more, not 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["toy", "--threads", "many"])


@pytest.mark.parametrize("stage", (STAGES | TOOLS).values(), ids=lambda stage: stage.name)
def test_every_stage_is_there_documented_and_typed(stage):
    function = getattr(import_module(stage.module), stage.function)
    assert inspect.getdoc(function), f"{stage.name} has no docstring, which is its --help"
    hints = typing.get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        kind, _ = cli._unpack(hints[parameter.name])
        assert kind in (int, float, str, bool, Path) or issubclass(kind, BaseModel)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mgsflow import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "train-vae" in done.stdout


def test_an_unknown_stage_is_refused():
    with pytest.raises(SystemExit) as error:
        cli.main(["fly"])
    assert error.value.code == 2


def _full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _full_behind_hdf5() -> None:
    try:
        _full()
    except OSError:
        raise RuntimeError("Unable to close the file") from None


def _forbidden() -> None:
    raise PermissionError(errno.EACCES, "Permission denied", "/there/table.parquet")


@pytest.mark.parametrize(
    "fault, words",
    [
        (_full, "the disk is full.*MB free"),
        (_full_behind_hdf5, "the disk is full"),
        (_forbidden, "/there/table.parquet: Permission denied"),
    ],
)
def test_faults_of_the_disk_are_said_in_words(stage, tmp_path, capsys, fault, words):
    def toy(*, out: Path) -> None:
        fault()

    stage(toy)
    assert cli.main(["toy", "--out", str(tmp_path / "not/there/yet.h5")]) == 2
    error = capsys.readouterr().err
    assert re.search(words, error) and "Traceback" not in error
    if fault is not _forbidden:
        assert str(tmp_path) in error
