"""A function's parameters and docstring, read from its source without importing its module.

A command's options are the parameters of its function. Listing them, or rejecting a misspelt one,
should not wait for the import of torch.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path


def declared(module: str, name: str) -> Callable:
    """The function `name` of `module` if that is imported, otherwise its declaration."""
    if module in sys.modules:
        return getattr(sys.modules[module], name)
    return read_declaration(module, name)


def read_declaration(module: str, name: str) -> Callable:
    """A function that does nothing, with the parameters, annotations and docstring of `name`.

    Only names in its annotations and defaults are imported. Raises ModuleNotFoundError if there is
    no such module, LookupError if the module defines no such function at its top level.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module}", name=module)
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    function = next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == name), None)
    if function is None:
        raise LookupError(f"{spec.origin}: no function {name}")
    docstring = ast.get_docstring(function, clean=False) or ""
    function.body = [ast.Expr(ast.Constant(docstring))]
    function.decorator_list = []
    named = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    program = ast.Module([*_imports_of(body, named), function], type_ignores=[])
    names: dict[str, object] = {"__name__": module}
    exec(compile(ast.fix_missing_locations(program), spec.origin, "exec"), names)
    return names[name]  # type: ignore[return-value]


def _imports_of(body: list[ast.stmt], named: set[str]) -> Iterator[ast.stmt]:
    """The imports at the top of a module that bind one of the names `named`, and no others."""
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            yield node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in named]
            if node.names:
                yield node
