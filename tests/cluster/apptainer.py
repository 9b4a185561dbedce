"""A real Apptainer: the one on PATH, or one that a script installs for the tests.

MGSFLOW_APPTAINER_INSTALLER names a script that takes a new folder and leaves there, beside the
programs, an `env.sh` that puts them on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

INSTALLER = "MGSFLOW_APPTAINER_INSTALLER"


def missing() -> str:
    """What keeps this host from running Apptainer, in words; empty if nothing does."""
    if shutil.which("apptainer"):
        return ""
    installer = os.environ.get(INSTALLER)
    if not installer:
        return f"no apptainer on PATH, and {INSTALLER} names no script that installs one"
    if not Path(installer).is_file():
        return f"{INSTALLER}: there is no {installer}"
    return ""


def environment(folder: Path) -> dict[str, str]:
    """The environment variables in which Apptainer runs, after installing it into `folder`."""
    if shutil.which("apptainer"):
        return dict(os.environ)
    installer = Path(os.environ[INSTALLER]).resolve()
    done = subprocess.run(["bash", installer, folder], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{installer}: {done.stderr}")
    shown = subprocess.run(
        ["bash", "-c", f'source "{folder}/env.sh" && env -0'], capture_output=True, check=True
    )
    variables = shown.stdout.decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if "=" in variable)
