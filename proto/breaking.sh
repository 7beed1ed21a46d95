#!/usr/bin/env bash
# breaking: the protos of the newest release, else of the landed main, else of the parent commit -> incompatible changes.
set -euo pipefail

buf=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base_of() {
  git describe --tags --abbrev=0 --match 'v*' 2>/dev/null && return
  local landed
  landed=$(git rev-parse --verify --quiet origin/main^{commit} || true)
  if [[ -n $landed && $landed != "$(git rev-parse HEAD)" ]]; then
    printf '%s\n' "$landed"
  else
    git rev-parse --verify --quiet 'HEAD~1^{commit}'
  fi
}

if ! base=$(base_of) || ! git cat-file -e "$base:proto/heimdex" 2>/dev/null; then
  echo 'buf breaking: no earlier protos to compare with'
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git archive "$base" buf.yaml proto third_party | tar -x -C "$scratch"
"$buf" breaking proto --against "$scratch/proto"
