"""A digest of the code behind a stage, so that a changed program reruns its rules."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "mgsflow"
# The settings reach a rule as its params, value by value. Their module would rerun everything for
# a new sentence in a description.
NOT_COUNTED = ("mgsflow.config",)


def code_digest(module: str) -> str:
    """Hexadecimal digest of `module` and all modules of the package that it imports, at any depth.

    Taken of the syntax tree: comments, docstrings and layout do not change it. Files beside a
    module that it names, such as a query, count as well.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(module)):
        digest.update(f"{name}\n{_normalised(name)}\n".encode())
        for path in _data_files(name):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and not name.startswith(NOT_COUNTED):
            found.add(name)
            waiting.extend(_imports(name))
    return found


@cache
def _source(module: str) -> Path | None:
    spec = find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


@cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    return ast.parse(path.read_text(encoding="utf-8") if path else "")


@cache
def _imports(module: str) -> frozenset[str]:
    """Modules of the package that `module` imports, inside functions as well."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.startswith(PACKAGE) and _is_module(name))


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a name inside a module, not a module
        return False


@cache
def _normalised(module: str) -> str:
    tree = ast.parse(ast.unparse(_tree(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]
    return ast.dump(tree)


def _data_files(module: str) -> list[Path]:
    """Files beside the module that it names in a string: a query, a template."""
    source = _source(module)
    names = {
        node.value
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value
    }
    if source is None or not names:
        return []
    beside = {path.name: path for path in source.parent.iterdir() if path.suffix != ".py"}
    return [beside[name] for name in sorted(names & beside.keys())]


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
