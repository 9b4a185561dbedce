#!/usr/bin/env bash
# Snakemake runs this script from the repository's root, inside the new conda environment. It
# installs the pinned packages of the lock file and the launcher, which runs the checkout's code.
set -euo pipefail
python -m pip install -r envs/sed.lock
python -m pip check
install -m 755 envs/mgsflow "$CONDA_PREFIX/bin/mgsflow"
