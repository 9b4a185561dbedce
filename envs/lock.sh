#!/usr/bin/env bash
# Pins each extra of pyproject.toml, with all that it pulls in, into envs/NAME.lock. One resolution
# of everything comes first and constrains the others, so that a package has one version everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
names=(workflow data train report dev)
apart=(studies sed) # pinned to the versions of the others, which it never moves; not in .venv
compile=(pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url
         --no-emit-find-links --no-emit-trusted-host --allow-unsafe)
all=$(mktemp --suffix .txt)
trap 'rm -f "$all"' EXIT
"${compile[@]}" --output-file "$all" $(printf -- '--extra %s ' "${names[@]}") pyproject.toml
for name in "${names[@]}" "${apart[@]}"; do
  lock=envs/$name.lock
  rm -f "$lock"
  "${compile[@]}" --constraint "$all" --extra "$name" --output-file "$lock" pyproject.toml
  # The build of torch (CPU or CUDA) is the index's choice, not the lock's: 2.13.0 admits 2.13.0+cpu.
  # What a CUDA build brings beside it is in envs/cuda.lock.
  sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' "$lock"
  sed -i "1i # Exact pins of the environment '$name': made by \`make lock\` from pyproject.toml, not by hand." "$lock"
  echo "envs/$name.lock: $(grep -c == "$lock") packages"
done
# The CUDA build of torch is PyPI's own: asked for alone, whatever build this machine's settings prefer.
# (A pip that reads a package's dependencies without downloading it.)
work=$(mktemp -d)
trap 'rm -rf "$all" "$work"' EXIT
python3 -m venv "$work/pip"
pip=("$work/pip/bin/python" -m pip)
"${pip[@]}" install --quiet pip==26.3
"${pip[@]}" --isolated ${PIP_CERT:+--cert "$PIP_CERT"} install --quiet --dry-run --ignore-installed \
  --only-binary :all: --index-url "${CUDA_INDEX:-https://pypi.org/simple}" \
  --constraint envs/train.lock --report "$work/report.json" "$(grep ^torch== envs/train.lock)"
python3 envs/cuda.py "$work/report.json"
echo "envs/cuda.lock: $(grep -c == envs/cuda.lock) packages"
python3 envs/conda.py "${names[@]}" "${apart[@]}"
