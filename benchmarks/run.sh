#!/usr/bin/env bash
# Times training, sampling, start-up, streaming and the growth of cost with galaxies on this machine,
# and renews the tables of docs/performance.md and their figure.
# Minutes on a GPU, three hours on a CPU; the rows of a device that is not here stay as they are.
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
python startup.py --out "$results/startup.json"
python streaming.py --galaxies 1000 20000 1000000 --out "$results/streaming.json"
python cost_growth.py --set photometry --galaxies 1000 10000 100000
python cost_growth.py --set images --galaxies 1000 5000 20000
python growth_figure.py
python performance.py
