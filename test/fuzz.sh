#!/bin/sh
# fuzz.sh TIME [FROM]: runs every fuzz test for that long, one after the other, from the one of a file whose path holds FROM on; stops at the
# first that finds something.
set -eu
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh TIME, such as 30s}
from=${2-}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
trap 'exit 130' INT TERM
cache=$(go env GOCACHE)/fuzz
# fuzz NAME: what `go test -fuzz` does, with a binary that is built once for all of a package.
fuzz() {
  (cd "$package" && "$built/test" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x -test.fuzzcachedir "$cache/$path") > "$built/said" 2>&1
}
package=
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  case $file in *"$from"*) from= ;; *) continue ;; esac
  if [ "$package" != "$(dirname "$file")" ]; then
    package=$(dirname "$file")
    path=$(go list "$package")
    go test -c -fuzz . -o "$built/test" "$package"
  fi
  for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
    echo "== $name ($package)"
    for attempt in 1 2 3 4 5; do
      ! fuzz "$name" || break
      # A worker that is busy when the time is over makes it fail with nothing found: again then.
      [ $attempt -lt 5 ] && grep -q '^    context deadline exceeded$' "$built/said" && ! grep -q 'Failing input' "$built/said" || { cat "$built/said"; exit 1; }
    done
    grep 'elapsed:' "$built/said" | tail -n 1
  done
done
