"""Check an environment from inside: it holds what its lock pins, and that can be imported.

Runs in the images' %test, with the standard library alone. `--record` writes what the image was
built from: digests of lock and definition, versions of Python and torch, and torch's CUDA.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import re
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent


def canonical(name: str) -> str:
    """A distribution's name as locks spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def public(version: str) -> str:
    """The version without its local label: 2.13.0 of 2.13.0+cpu, which the pin 2.13.0 admits."""
    return version.split("+")[0]


def pins(lock: Path) -> dict[str, str]:
    """Version by package, of a lock."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def installed() -> dict[str, str]:
    """Version by package, of what is installed."""
    return {canonical(d.metadata["Name"]): public(d.version) for d in metadata.distributions()}


def differences(locked: dict[str, str], cuda: dict[str, str], found: dict[str, str]) -> list[str]:
    """Where what is installed is not what the lock pins, and `cuda` of what is there."""
    wanted = locked | {name: version for name, version in cuda.items() if name in found}
    lines = [
        f"{name}: {found.get(name, 'not installed')}, the lock says {version}"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    beside = found.keys() - wanted.keys()
    return [*lines, *(f"{name}: installed, but not in the lock" for name in sorted(beside))]


def modules(asked: list[str]) -> list[str]:
    """The modules of the distributions that the project asks for."""
    wanted = {canonical(re.match(r"[\w.-]+", text)[0]) for text in asked}
    found = {
        module: {canonical(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }
    lacking = wanted - set().union(*found.values())
    if lacking:
        raise SystemExit(f"no module belongs to {', '.join(sorted(lacking))}")
    return sorted(m for m, names in found.items() if names & wanted and m.isidentifier())


def import_all(names: list[str]) -> None:
    """Import modules. Numba and Matplotlib want a home for their caches, which %test has not."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        for name in names:
            importlib.import_module(name)


def record(name: str, base: str, folder: Path) -> dict[str, object]:
    """What the image was built from."""

    def digest(file: str) -> str:
        return hashlib.sha256((folder / file).read_bytes()).hexdigest()

    made: dict[str, object] = {
        "environment": name,
        "from": f"base.def {digest('base.def')}" if (folder / "base.def").exists() else base,
        "lock": digest(f"{name}.lock"),
        "definition": digest(f"{name}.def"),
        "python": platform.python_version(),
    }
    if "torch" in installed():
        torch = importlib.import_module("torch")
        made["torch"] = {"version": str(torch.__version__), "cuda": torch.version.cuda}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the environment")
    parser.add_argument("--from", dest="base", default="", help="what the image starts from")
    parser.add_argument("--record", type=Path, help="write what it was built from, check nothing")
    arguments = parser.parse_args()
    name = arguments.name
    if arguments.record:
        made = record(name, arguments.base, HERE)
        arguments.record.write_text(json.dumps(made, indent=2) + "\n")
        return
    cuda = HERE / "cuda.lock"
    brought = pins(cuda) if cuda.exists() else {}
    wrong = differences(pins(HERE / f"{name}.lock"), brought, installed())
    if wrong:
        sys.exit(f"The environment {name} is not its lock:\n" + "\n".join(wrong))
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    import_all(modules(project["optional-dependencies"][name]))
    print(f"{name}: {len(installed())} packages as locked; what the code asks for is importable")


if __name__ == "__main__":
    main()
