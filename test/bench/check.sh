#!/bin/sh
# check.sh measures `tapio check` against `kubectl get` of the same kinds, on a real API server with 5,000 pods, 1,000 workloads and
# 10,000 events, and holds what it finds against what is broken there. It runs COUNT times (5).
#
# To run popeye and k8sgpt on the same cluster, put them into a folder and name it in TAPIO_BENCH_PEERS.
set -eu
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
CGO_ENABLED=0 go build -o bin/ ./cmd/tapio
TAPIO_KUBE_BINARY=$(test/kube/build.sh)
TAPIO_BENCH_BINARY=$PWD/bin/tapio
export TAPIO_KUBE_BINARY TAPIO_BENCH_BINARY
go test -count=1 -timeout 30m -run '^$' -bench '^Benchmark(Check|Watch)$' -benchtime "${1:-5}x" -v ./test/kube
# The collector of the cluster on as many pods, of which 50 change in a second, with the memory limit of its manifest.
go build -o bin/ ./cmd/tapio-collector
GOMEMLIMIT=300MiB exec go test -count=1 -timeout 30m -run '^$' -bench '^BenchmarkCollector$' -benchtime 1x -v ./test/kube
