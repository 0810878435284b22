#!/bin/sh
# node.sh [FLAG]...: builds and runs test/bench/node in a network namespace of its own.
set -eu
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
go build -o bin/ ./test/bench/node
${CC:-gcc} -O2 -static -o bin/crowd test/bench/node/crowd/crowd.c
exec unshare --net sh -c 'ip link set lo up; exec bin/node "$@"' node "$@"
