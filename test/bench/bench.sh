#!/bin/sh
# bench.sh measures what Tapio costs on this machine: the Go benchmarks, then the whole agent.
set -eu
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
# shellcheck disable=SC2046
go test -run '^$' -bench . -benchmem $(grep -rlE '^func Benchmark' --include='*_test.go' . | xargs -n 1 dirname | sort -u)
test/bench/agent.sh
