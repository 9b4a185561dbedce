"""Packages depend downwards only: who knows the DAG's order knows the code's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src/mgsflow"
# From the ground up. A package may import those below it and itself.
LAYERS = [
    ("core",),
    ("config",),
    ("sky",),
    ("sample",),
    ("models",),
    ("training",),
    ("posterior",),
    ("inference",),
    ("baselines",),
    ("evaluation",),
    ("report",),
    ("archive", "site"),
]
FLOOR = {package: i for i, layer in enumerate(LAYERS) for package in layer}


def imports(path: Path) -> set[str]:
    """Packages of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            if module.startswith("mgsflow.") and module.split(".")[1] in FLOOR:
                found.add(module.split(".")[1])
    return found


@pytest.mark.parametrize("package", FLOOR)
def test_a_package_imports_only_what_lies_below_it(package):
    files = sorted((SOURCE / package).rglob("*.py"))
    assert files
    for path in files:
        upwards = {p for p in imports(path) - {package} if FLOOR[p] >= FLOOR[package]}
        assert not upwards, f"{path.relative_to(SOURCE)} imports {upwards}"


def test_report_and_archive_run_without_torch():
    """Their environment has none: see envs/report.lock."""
    for module in ("report", "archive"):
        for path in (SOURCE / module).rglob("*.py"):
            assert "import torch" not in path.read_text(), path


def test_no_pickle_is_read_or_written():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text and "torch.load(" not in text, path
        assert "torch.save(" not in text and "allow_pickle=True" not in text, path
