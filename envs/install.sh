#!/bin/sh
# Installs exactly the packages in the lock file of the environment NAME into an image. The %post
# section of the definitions runs it as `install.sh NAME FROM`; FROM, the name of the base, is only
# written into the record.
# pip comes from the venv module of the base and is removed afterwards, so that the environment
# holds only the packages of the lock file. /mnt exists only during the build: envs/images.sh binds
# the machine's pip settings to it.
set -eu
name=$1
from=$2
top=/opt/mgsflow
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
[ ! -f /mnt/pip.conf ] || export PIP_CONFIG_FILE=/mnt/pip.conf
if [ -d /mnt/cache ]; then export PIP_CACHE_DIR=/mnt/cache; else export PIP_NO_CACHE_DIR=1; fi
flags=$(cat /mnt/flags 2>/dev/null || true)
# Pins of the packages that the CUDA build of torch requires; the CPU build ignores them.
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
