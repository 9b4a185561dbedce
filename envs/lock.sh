#!/usr/bin/env bash
# Pins each extra of pyproject.toml, with all that it pulls in, into envs/NAME.lock. One resolution
# of everything comes first and constrains the others, so that a package has one version everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
names=(workflow data train report dev)
apart=(benchmark sed) # pinned to the versions of the others, which it never moves; not in .venv
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
  # The CUDA libraries of a CUDA build are pinned by torch's own metadata.
  sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' "$lock"
  sed -i "1i # Exact pins of the environment '$name': made by \`make lock\` from pyproject.toml, not by hand." "$lock"
  echo "envs/$name.lock: $(grep -c == "$lock") packages"
done
python3 envs/conda.py "${names[@]}" "${apart[@]}"
