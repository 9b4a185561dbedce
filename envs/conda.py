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
# The environment '{name}' for conda: made by `make lock`. Its packages are installed by
# {name}.post-deploy.sh, from {files}
# (sha256 {digest}).
name: mgsflow-{name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11.16
  - pip=26.3
"""
# The lock of what a CUDA build of torch brings; and what torch.compile on a GPU takes to compile,
# which pip cannot install.
WITH = {"train": ("cuda",)}
BESIDE = {"train": ("c-compiler=1.11.0",)}


def conda_yaml(name: str) -> str:
    locks = [name, *WITH.get(name, ())]
    read = b"".join((FOLDER / f"{lock}.lock").read_bytes() for lock in locks)
    digest = hashlib.sha256(read).hexdigest()
    beside = "".join(f"  - {package}\n" for package in BESIDE.get(name, ()))
    files = " and ".join(f"envs/{lock}.lock" for lock in locks)
    return TEMPLATE.format(name=name, files=files, digest=digest) + beside


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if (FOLDER / f"{name}.def").exists():
            (FOLDER / f"{name}.yaml").write_text(conda_yaml(name))
