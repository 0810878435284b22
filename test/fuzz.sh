#!/bin/sh
# fuzz.sh TIME: runs every fuzz test for that long, one after the other; stops at the first that finds something.
set -eu
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh TIME, such as 30s}
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
    echo "== $name ($(dirname "$file"))"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "$(dirname "$file")"
  done
done
