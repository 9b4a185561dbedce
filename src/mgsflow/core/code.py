"""A digest of the code behind a stage, so that a changed program reruns its rules.

Snakemake computes these digests in each job, when it reads the rules. For speed nothing is imported
for them, and each module is read once.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "mgsflow"
# A rule's params contain the values of its settings. If their module counted as well, a new
# sentence in a description would rerun everything.
NOT_COUNTED = ("mgsflow.config",)


@dataclass(frozen=True)
class _Module:
    """The facts that count: a module's program, its imports, the files beside it that it names."""

    digest: str
    imports: frozenset[str]
    files: tuple[Path, ...]


def code_digest(module: str) -> str:
    """Hexadecimal digest of `module` and all modules of the package that it imports, at any depth.

    The digest is that of the syntax tree: comments, docstrings and layout do not change it. Files
    beside a module that it names, such as a query, count as well. The package's own __init__, with
    its version and names that others import, does not count: a new version repeats no download.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(module)):
        facts = _read(name)
        digest.update(f"{name}\n{facts.digest}\n".encode())
        for path in facts.files:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    closure: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in closure and name != PACKAGE and not name.startswith(NOT_COUNTED):
            closure.add(name)
            waiting.extend(_read(name).imports)
    return closure


@cache
def _root() -> Path:
    """The package's folder. Only the package is looked up: looking up a module would import it."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {PACKAGE} is not on sys.path")
    return Path(spec.submodule_search_locations[0])


@cache
def _source(module: str) -> Path | None:
    """The file of a module; None if there is no such module, as for a name inside a module."""
    path = _root().joinpath(*module.split(".")[1:])
    for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _read(module: str) -> _Module:
    source = _source(module)
    if source is None:
        return _Module("", frozenset(), ())
    tree = ast.parse(source.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    imported = {name for node in nodes for name in _imported(node)}
    files = _files_beside(source, nodes)
    _drop_docstrings(nodes)
    program = ast.unparse(tree)
    return _Module(hashlib.sha256(program.encode()).hexdigest(), frozenset(imported), files)


def _imported(node: ast.AST) -> Iterator[str]:
    """Modules of the package that a statement imports, also inside functions."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    yield from (name for name in names if name.split(".")[0] == PACKAGE and _source(name))


def _files_beside(source: Path, nodes: list[ast.AST]) -> tuple[Path, ...]:
    """Files beside a module that it names in a string, such as a query or a template."""
    names = {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value
    }
    beside = {path.name: path for path in source.parent.iterdir() if path.suffix != ".py"}
    return tuple(beside[name] for name in sorted(names & beside.keys()))


def _drop_docstrings(nodes: list[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
