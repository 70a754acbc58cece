#!/usr/bin/env bash
# Lints the contract with buf (proto/buf.yaml). Without a buf, and an npm that can install it, exits
# with 77, which ctest shows as skipped; with BUF_REQUIRED set, with 1. usage: buf.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() {
  echo "$1"
  [[ -z ${BUF_REQUIRED-} ]] || exit 1
  exit 77
}
version=1.75.0 dir="$1/buf-$version"
buf=$(command -v buf || true)
if [[ -z $buf ]]; then
  buf="$dir/node_modules/.bin/buf"
  if [[ ! -x $buf ]]; then
    command -v npm >/dev/null || skip "the contract's lint needs buf, or npm to install it"
    mkdir -p "$dir"
    npm install --prefix "$dir" --no-package-lock --no-save --no-audit --no-fund --loglevel=error \
      "@bufbuild/buf@$version" >"$dir/npm.log" 2>&1 ||
      { tail -5 "$dir/npm.log"; skip "npm cannot install @bufbuild/buf@$version"; }
  fi
fi
exec "$buf" lint proto
