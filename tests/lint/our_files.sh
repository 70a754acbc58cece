#!/usr/bin/env bash
# Prints the files of ours with these extensions, one a line: what git tracks or would track, but
# not what we only keep a copy of. usage: our_files.sh EXTENSION...
set -euo pipefail
cd "$(dirname "$0")/../.."
patterns=()
for extension in "$@"; do patterns+=("*.$extension"); done
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files --cached --others --exclude-standard -- "${patterns[@]}" |
    while read -r file; do [[ -e $file ]] && printf '%s\n' "$file"; done
else
  for pattern in "${patterns[@]}"; do
    find proto server client tests bench -name "$pattern" 2>/dev/null || true
  done
fi | grep -vE '^proto/(google|grpc)/' | sort
