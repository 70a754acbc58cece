#!/usr/bin/env bash
# Compares segments with the npm package sms-segments-calculator, whose version and checksum are in
# package-lock.json. Without a node and an npm that can install it, exits with 77, which ctest shows
# as skipped; with NPM_REQUIRED set, as .ci/run does, with 1.
# usage: compare.sh BUILD_DIR SEGMENT_ANSWERS [COUNT [SEED...]]: COUNT texts from each seed, at once
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
skip() {
  echo "$1"
  [[ -z ${NPM_REQUIRED-} ]] || exit 1
  exit 77
}
command -v node >/dev/null && command -v npm >/dev/null ||
  skip "comparing segments needs node and npm"
dir="$1/segments-reference"
lock="$dir/node_modules/.package-lock.json"
if [[ ! -f $lock || $here/package-lock.json -nt $lock ]]; then
  mkdir -p "$dir"
  cp "$here/package.json" "$here/package-lock.json" "$dir/"
  (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$dir/npm.log" 2>&1 ||
    { tail -5 "$dir/npm.log"; skip "npm cannot install sms-segments-calculator"; }
fi
answers=$2 count=${3:-52000} runs=()
shift $(($# < 3 ? $# : 3))
(($# > 0)) || set -- 1 2
for seed in "$@"; do
  ("$answers" "$seed" "$count" | node "$here/compare.js" "$dir" | sed "s/^/seed $seed: /") &
  runs+=($!)
done
status=0
for run in "${runs[@]}"; do wait "$run" || status=1; done
exit "$status"
