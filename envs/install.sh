#!/bin/sh
# Installs the lock of the environment NAME inside an image, and nothing beside it: run by the
# definitions' %post. The base's name (FROM) goes into the record only.
# pip comes from the base's venv module and is removed afterwards, so that the environment holds
# the lock's packages alone. /mnt is there during the build only: envs/images.sh binds pip's
# settings of the machine to it.
set -eu
name=$1
from=$2
top=/opt/mgsflow
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
[ ! -f /mnt/pip.conf ] || export PIP_CONFIG_FILE=/mnt/pip.conf
if [ -d /mnt/cache ]; then export PIP_CACHE_DIR=/mnt/cache; else export PIP_NO_CACHE_DIR=1; fi
flags=$(cat /mnt/flags 2>/dev/null || true)
# What the CUDA build of torch brings; the CPU build has no use for it.
[ ! -f "$top/cuda.lock" ] || flags="$flags --constraint $top/cuda.lock"

python3 -m venv "$top/pip"
python3 -m venv --without-pip "$top/python"
pip() { "$top/pip/bin/python" -m pip --python "$top/python/bin/python" "$@"; }
# shellcheck disable=SC2086 # the flags are several words
pip install $flags -r "$top/$name.lock"
pip check
pip freeze --all >"$top/freeze.txt"
rm -rf "$top/pip"
echo "$name" >"$top/environment"
"$top/python/bin/python" "$top/check.py" "$name" --from "$from" --record "$top/record.json"
