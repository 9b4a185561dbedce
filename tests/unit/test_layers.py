"""Packages depend downwards only: who knows the DAG's order knows the code's."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
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


def runtime_imports(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """Import statements that can run, inside functions as well: not those for type checkers."""
    for_type_checkers = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If)
        and ast.unparse(branch.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in branch.body
        for node in ast.walk(statement)
    }
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node for node in imports if node not in for_type_checkers]


def import_graph(package: Path) -> dict[str, set[str]]:
    """The modules of a package, and for each those of them that it imports."""
    paths = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {module: set() for module in paths}
    for module, path in paths.items():
        for node in runtime_imports(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                assert node.level == 0, f"{module}: a relative import, which is not resolved here"
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in paths else str(node.module) for name in inner]
            graph[module] |= {name for name in names if name in paths}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of the graph; none if it has none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    graph = import_graph(SOURCE)
    assert sum(map(len, graph.values())) > len(graph) > 50, "modules or imports were not read"
    assert not circle(graph)


@pytest.mark.parametrize(
    ("text", "closes_it"),
    [
        ("from toy.b import B", True),
        ("from toy import b", True),
        ("import toy.b", True),
        ("def f():\n    from toy import b", True),
        ("if not TYPE_CHECKING:\n    from toy import b", True),
        ("if typing.TYPE_CHECKING:\n    pass\nelse:\n    import toy.b", True),
        ("if TYPE_CHECKING:\n    from toy.b import B", False),
        ("from toy import B", False),
    ],
)
def test_an_import_closes_a_circle_wherever_it_can_run(tmp_path, text, closes_it):
    toy = tmp_path / "toy"
    toy.mkdir()
    (toy / "__init__.py").write_text("")
    (toy / "b.py").write_text("from toy.a import A")
    (toy / "a.py").write_text(text)
    modules = circle(import_graph(toy))
    assert set(modules) == ({"toy.a", "toy.b"} if closes_it else set())


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
