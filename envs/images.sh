#!/usr/bin/env bash
# Builds envs/images/NAME.sif from envs/NAME.def and envs/NAME.lock and tests it. Writes its digest
# and the digests of its inputs into envs/images.lock, against which every run is checked.
# Usage: envs/images.sh [--force] [NAME...]     default: data train report
# An image is not rebuilt if neither it nor its inputs have changed, unless --force is given.
# One call builds its images one after the other. Calls for different images may run at once.
# Environment variables:
#   BASE=debian   use Debian's Python as base instead of an image from a registry (envs/base.def)
#   PIP_FLAGS     options for pip, e.g. --extra-index-url=https://download.pytorch.org/whl/cpu; the
#                 pip settings of this machine (pip config list, PIP_*) also apply inside the image
#   MIRROR        Debian mirror for BASE=debian; default: the mirror of this machine's apt
set -euo pipefail
cd "$(dirname "$0")/.."
images=envs/images
lock=envs/images.lock
base=$images/.base

fail() { echo "images.sh: $*" >&2; exit 2; }
digest() { sha256sum "$1" | cut -d' ' -f1; }

# Lock the file that is open as descriptor $1. Each image, the base and images.lock have one writer.
lock_file() { flock --nonblock "$1" || { echo "waiting for another build of $2" >&2; flock "$1"; }; }

# The inputs of an image as words of its line in images.lock: the files of envs/ that its definition
# copies, except check.py, which tests the image but does not change it.
inputs_of() {
  local name=$1 file words=""
  for file in $(sed -n 's|^ *envs/\([^ ]*\) /.*|\1|p' "envs/$name.def" | grep -vx check.py); do
    words+=" $file=$(digest "envs/$file")"
  done
  [ "${BASE:-}" != debian ] || words+=" base.def=$(digest envs/base.def)"
  echo "$words pip=$(digest "$work/resolved")"
}

# The Debian mirror of this machine's apt, if it has one.
mirror() {
  local uri=""
  if command -v apt-get >/dev/null; then
    uri=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' \
      | awk '$2 == "main" && $3 == "Debian" && $1 !~ /security/ {print $1; exit}')
  fi
  echo "${MIRROR:-${uri:-http://deb.debian.org/debian}}"
}

# Build the base if it is not that of envs/base.def. Afterwards descriptor 8 holds it, shared with the
# other builds from it: nobody replaces it before they have ended.
hold_base() {
  local mark=$base.digest made
  made=$(digest envs/base.def)
  exec 8>"$images/.building-base"
  flock --shared 8
  is_base "$made" && return
  lock_file 8 "the base, or from it"
  if ! is_base "$made"; then
    echo "$base: building Debian's Python, once for all images"
    rm -rf "$base" "$base.new" "$mark"
    apptainer build --sandbox --build-arg "mirror=$(mirror)" "$base.new" envs/base.def \
      >"$images/base.log" 2>&1 || { tail -n 30 "$images/base.log" >&2; fail "no base; log: $images/base.log"; }
    mv "$base.new" "$base"
    echo "$made" >"$mark"
  fi
  flock --shared 8
}
is_base() { [ -d "$base" ] && [ "$(cat "$base.digest" 2>/dev/null)" = "$1" ]; }

build() {
  local name=$1 made=$2 new=$images/.$1.new.sif log=$images/$1.log options=() started=$SECONDS
  [ "${BASE:-}" != debian ] \
    || options+=(--build-arg bootstrap=localimage --build-arg "from=$base")
  while read -r bind; do options+=(--bind "$bind"); done <"$work/binds"
  rm -f "$new"
  # zstd at its lowest level takes a fraction of gzip's time to write and is faster to read.
  apptainer build --mksquashfs-args "-comp zstd -Xcompression-level 1" --bind "$work:/mnt" \
    "${options[@]}" "$new" "envs/$name.def" >"$log" 2>&1 \
    || { rm -f "$new"; tail -n 30 "$log" >&2; fail "$name was not built; log: $log"; }
  mv -f "$new" "$images/$name.sif"
  write_line "$name" "$name.sif=$(digest "$images/$name.sif")$made"
  echo "$images/$name.sif: $(du -m --apparent-size "$images/$name.sif" | cut -f1) MB," \
    "$((SECONDS - started)) s"
}

# Replace the line of one image in images.lock.
write_line() {
  local new=$images/.images.lock.new
  exec 7>"$images/.writing"
  flock 7
  {
    echo "# The inputs of each image in envs/images. Written by \`make images\`; do not edit."
    { grep -v -e '^#' -e "^$1 " "$lock" 2>/dev/null || true; echo "$1 $2"; } | sort
  } >"$new"
  mv -f "$new" "$lock"
  exec 7>&-
}

force=""
[ "${1:-}" != --force ] || { force=1; shift; }
[ $# -gt 0 ] || set -- data train report
for name in "$@"; do
  [ -f "envs/$name.def" ] && [ -f "envs/$name.lock" ] || fail "$name: no envs/$name.def or .lock"
done
case ${BASE:-} in "" | debian) ;; *) fail "BASE=$BASE: use debian or nothing (official image)" ;; esac
command -v apptainer >/dev/null || fail "apptainer is not on PATH; load its module or install it"

mkdir -p "$images"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/cache"
python3 envs/pip_settings.py "$work"
echo "${PIP_FLAGS:-}" >"$work/flags"
{ grep -E '^(index-url|extra-index-url|find-links|no-index|constraint)' "$work/pip.conf" || true
  cat "$work/flags"; } >"$work/resolved"
for name in "$@"; do
  exec 9>"$images/.building-$name"
  lock_file 9 "$name"
  made=$(inputs_of "$name")
  if [ -z "$force" ] && [ -f "$images/$name.sif" ] \
    && grep -qx "$name $name.sif=$(digest "$images/$name.sif")$made" "$lock" 2>/dev/null
  then
    echo "$images/$name.sif: unchanged"
    continue
  fi
  [ "${BASE:-}" != debian ] || hold_base
  build "$name" "$made"
  exec 8>&-
done
