#!/bin/sh
# fuzz.sh TIME [FROM]: runs every fuzz test for that long, one after the other, from the one of a file whose path holds FROM on; stops at the
# first that finds something.
set -eu
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh TIME, such as 30s}
from=${2-}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
fuzz() { go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" -fuzzminimizetime 10x "$2" > "$said" 2>&1; }
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  case $file in *"$from"*) from= ;; *) continue ;; esac
  for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
    echo "== $name ($(dirname "$file"))"
    # A worker that is busy when the time is over makes go test fail with nothing found: once more then.
    fuzz "$name" "$(dirname "$file")" || { grep -q '^    context deadline exceeded$' "$said" && ! grep -q 'Failing input' "$said" &&
      fuzz "$name" "$(dirname "$file")"; } || { cat "$said"; exit 1; }
    tail -n 1 "$said"
  done
done
