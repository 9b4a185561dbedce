"""A stage's options are known without its libraries: the declaration is that of the function."""

import inspect
import subprocess
import sys
import typing
from importlib import import_module

import pytest

from mgsflow.core.signature import declared, read_declaration
from mgsflow.stages import STAGES, TOOLS


@pytest.mark.parametrize("stage", (STAGES | TOOLS).values(), ids=lambda stage: stage.name)
def test_the_declaration_of_a_stage_is_the_functions(stage):
    found = read_declaration(stage.module, stage.function)
    function = getattr(import_module(stage.module), stage.function)
    assert found is not function
    assert inspect.signature(found) == inspect.signature(function)
    assert typing.get_type_hints(found) == typing.get_type_hints(function)
    assert inspect.getdoc(found) == inspect.getdoc(function)
    assert declared(stage.module, stage.function) is function  # imported by now


def test_what_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(LookupError, match="no function fly"):
        read_declaration("mgsflow.evaluation.latent.umap", "fly")
    with pytest.raises(ModuleNotFoundError):
        read_declaration("mgsflow.evaluation.fly", "fly")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train-flow", "--help"], ["umap", "--sed", "1"]]
)
def test_neither_help_nor_a_mistake_waits_for_the_libraries(arguments):
    heavy = {"torch", "pandas", "numpy", "astropy", "scipy", "h5py", "pyarrow"}
    code = (
        "import sys; from mgsflow import cli\n"
        f"try: cli.main({arguments})\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]"), done.stdout
    assert ("umap" in done.stdout or "--checkpoints" in done.stdout) != ("--sed" in arguments)
