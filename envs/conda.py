"""Write envs/NAME.yaml, the conda route to the same pins, for each environment named.

Python is that of the official image which the definitions start from. What Python and the compiler
pull in themselves (OpenSSL, the C library's headers) is conda's solver's choice.

Snakemake copies the YAML away from its neighbours, so the lock cannot be named inside it: the
post-deploy script installs it. The lock's digest in the YAML makes a new lock a new environment.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
TEMPLATE = """\
# The environment '{name}' for conda: made by `make lock`. The packages come from envs/{name}.lock
# (sha256 {digest}),
# which {name}.post-deploy.sh installs.
name: mgsflow-{name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11.16
  - pip=26.3
"""
# What pip cannot install. torch.compile on a GPU compiles: Triton wants a C compiler.
BESIDE = {"train": ("c-compiler=1.11.0",)}


def conda_yaml(name: str) -> str:
    digest = hashlib.sha256((FOLDER / f"{name}.lock").read_bytes()).hexdigest()
    beside = "".join(f"  - {package}\n" for package in BESIDE.get(name, ()))
    return TEMPLATE.format(name=name, digest=digest) + beside


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if (FOLDER / f"{name}.def").exists():
            (FOLDER / f"{name}.yaml").write_text(conda_yaml(name))
