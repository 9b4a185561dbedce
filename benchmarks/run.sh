#!/usr/bin/env bash
# Times training and sampling on this machine and renews the tables of docs/performance.md.
# Minutes on a GPU, half an hour on a CPU; the rows of a device that is not here stay as they are.
set -euo pipefail
cd "$(dirname "$0")"
results=results

if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  python vae_training.py --out "$results/vae_training.json"
  python flow_training.py --device cuda --out "$results/flow_training.json"
  python sampling.py --device cuda --out "$results/sampling.json"
fi
python vae_cpu.py --out "$results/vae_cpu.json"
python flow_training.py --device cpu --galaxies 4000 --no-stage --out "$results/flow_training.json"
python sampling.py --device cpu --out "$results/sampling.json"
python performance.py
