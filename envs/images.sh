#!/usr/bin/env bash
# Builds envs/images/NAME.sif from envs/NAME.def and envs/NAME.lock, tests it, and writes its digest
# and those of what it was built from into envs/images.lock, which runs are checked against.
# Usage: envs/images.sh [--force] [NAME...]     default: data train report
# An image that is as it was built, from inputs that have not changed, is left alone, unless --force.
# From the environment:
#   BASE=debian   start from Debian's Python instead of a registry's image (envs/base.def)
#   PIP_FLAGS     for pip, e.g. --extra-index-url=https://download.pytorch.org/whl/cpu; pip's own
#                 settings of this machine (pip config list, PIP_*) hold inside as well
#   MIRROR        of Debian, for BASE=debian; default: that of this machine's apt
set -euo pipefail
cd "$(dirname "$0")/.."
images=envs/images
lock=envs/images.lock
base=$images/.base

fail() { echo "images.sh: $*" >&2; exit 2; }
digest() { sha256sum "$1" | cut -d' ' -f1; }

# What an image is built from, as words of its line in images.lock: the files of envs that its
# definition takes, but for check.py, which tests what is there and changes nothing of it.
inputs_of() {
  local name=$1 file words=""
  for file in $(sed -n 's|^ *envs/\([^ ]*\) /.*|\1|p' "envs/$name.def" | grep -vx check.py); do
    words+=" $file=$(digest "envs/$file")"
  done
  [ "${BASE:-}" != debian ] || words+=" base.def=$(digest envs/base.def)"
  echo "$words pip=$(digest "$work/resolved")"
}

# The mirror of Debian that this machine's apt uses, if it has one.
mirror() {
  local uri=""
  if command -v apt-get >/dev/null; then
    uri=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' \
      | awk '$2 == "main" && $3 == "Debian" && $1 !~ /security/ {print $1; exit}')
  fi
  echo "${MIRROR:-${uri:-http://deb.debian.org/debian}}"
}

build_base() {
  local mark=$base.digest made
  made=$(digest envs/base.def)
  [ ! -d "$base" ] || [ "$(cat "$mark" 2>/dev/null)" != "$made" ] || return 0
  echo "$base: Debian's Python, once for all images"
  rm -rf "$base" "$base.new" "$mark"
  apptainer build --sandbox --build-arg "mirror=$(mirror)" "$base.new" envs/base.def \
    >"$images/base.log" 2>&1 || { tail -n 30 "$images/base.log" >&2; fail "no base: $images/base.log"; }
  mv "$base.new" "$base"
  echo "$made" >"$mark"
}

build() {
  local name=$1 made=$2 new=$images/.$1.new.sif log=$images/$1.log options=() started=$SECONDS
  [ "${BASE:-}" != debian ] \
    || options+=(--build-arg bootstrap=localimage --build-arg "from=$base")
  while read -r bind; do options+=(--bind "$bind"); done <"$work/binds"
  rm -f "$new"
  # zstd at its lowest level: written in a fraction of gzip's time, and read faster.
  apptainer build --mksquashfs-args "-comp zstd -Xcompression-level 1" --bind "$work:/mnt" \
    "${options[@]}" "$new" "envs/$name.def" >"$log" 2>&1 \
    || { rm -f "$new"; tail -n 30 "$log" >&2; fail "$name was not built; all of it: $log"; }
  mv -f "$new" "$images/$name.sif"
  write_line "$name" "$name.sif=$(digest "$images/$name.sif")$made"
  echo "$images/$name.sif: $(du -m --apparent-size "$images/$name.sif" | cut -f1) MB," \
    "$((SECONDS - started)) s"
}

# One image's line of images.lock is put in place of the old one.
write_line() {
  local new=$images/.images.lock.new
  {
    echo "# What each image in envs/images was built from: made by \`make images\`, not by hand."
    { grep -v -e '^#' -e "^$1 " "$lock" 2>/dev/null || true; echo "$1 $2"; } | sort
  } >"$new"
  mv -f "$new" "$lock"
}

force=""
[ "${1:-}" != --force ] || { force=1; shift; }
[ $# -gt 0 ] || set -- data train report
for name in "$@"; do
  [ -f "envs/$name.def" ] && [ -f "envs/$name.lock" ] || fail "no envs/$name.def with envs/$name.lock"
done
case ${BASE:-} in "" | debian) ;; *) fail "BASE=$BASE: debian, or nothing for the official image" ;; esac
command -v apptainer >/dev/null || fail "apptainer is not on PATH: load its module or install it"

mkdir -p "$images"
exec 9>"$images/.building"
flock --nonblock 9 || { echo "waiting for another build in $images" >&2; flock 9; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/cache"
python3 envs/pip_settings.py "$work"
echo "${PIP_FLAGS:-}" >"$work/flags"
{ grep -E '^(index-url|extra-index-url|find-links|no-index|constraint)' "$work/pip.conf" || true
  cat "$work/flags"; } >"$work/resolved"
for name in "$@"; do
  made=$(inputs_of "$name")
  if [ -z "$force" ] && [ -f "$images/$name.sif" ] \
    && grep -qx "$name $name.sif=$(digest "$images/$name.sif")$made" "$lock" 2>/dev/null
  then
    echo "$images/$name.sif: as it was"
    continue
  fi
  [ "${BASE:-}" != debian ] || build_base
  build "$name" "$made"
done
