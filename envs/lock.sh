#!/usr/bin/env bash
# Pins each extra of pyproject.toml, with all its dependencies, in envs/NAME.lock. All extras are
# first resolved together; this constrains the others, so that a package has the same version in all
# environments.
set -euo pipefail
cd "$(dirname "$0")/.."
names=(workflow data train report dev)
apart=(studies sed) # use the versions of the others and never change them; not in .venv
compile=(pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url
         --no-emit-find-links --no-emit-trusted-host --allow-unsafe)
all=$(mktemp --suffix .txt)
trap 'rm -f "$all"' EXIT
"${compile[@]}" --output-file "$all" $(printf -- '--extra %s ' "${names[@]}") pyproject.toml
for name in "${names[@]}" "${apart[@]}"; do
  lock=envs/$name.lock
  rm -f "$lock"
  "${compile[@]}" --constraint "$all" --extra "$name" --output-file "$lock" pyproject.toml
  # The package index, not the lock, selects the build of torch (CPU or CUDA): 2.13.0 also matches
  # 2.13.0+cpu. The packages that the CUDA build requires are in envs/cuda.lock.
  sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' "$lock"
  sed -i "1i # Exact pins of the environment '$name': made by \`make lock\` from pyproject.toml, not by hand." "$lock"
  echo "envs/$name.lock: $(grep -c == "$lock") packages"
done
# The CUDA build of torch is the one on PyPI. It is resolved separately, so that the pip settings of
# this machine do not matter. (This version of pip reads the dependencies of a package without
# downloading it.)
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
