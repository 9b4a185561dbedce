#!/usr/bin/env bash
# Run by Snakemake from the repository's root, inside the new conda environment: the pins come from
# the lock, and the launcher runs the code of the checkout.
set -euo pipefail
python -m pip install -r envs/train.lock --constraint envs/cuda.lock
python -m pip check
install -m 755 envs/mgsflow "$CONDA_PREFIX/bin/mgsflow"
