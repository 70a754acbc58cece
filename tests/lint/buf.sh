#!/usr/bin/env bash
# Lints the contract with buf (proto/buf.yaml). Exits with 77, which ctest shows as skipped, when
# there is neither a buf nor an npm to install it with. usage: buf.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
version=1.75.0 dir="$1/buf-$version"
buf=$(command -v buf || true)
if [[ -z $buf ]]; then
  buf="$dir/node_modules/.bin/buf"
  if [[ ! -x $buf ]]; then
    command -v npm >/dev/null || { echo "skipped: the contract's lint needs buf, or npm to install it"; exit 77; }
    mkdir -p "$dir"
    npm install --prefix "$dir" --no-package-lock --no-save --no-audit --no-fund --loglevel=error \
      "@bufbuild/buf@$version" >"$dir/npm.log" 2>&1 ||
      { tail -5 "$dir/npm.log"; echo "skipped: npm cannot install @bufbuild/buf@$version"; exit 77; }
  fi
fi
exec "$buf" lint proto
