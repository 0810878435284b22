#!/bin/sh
# build.sh builds Kubernetes' real control plane and etcd for the tests, once for each change of cluster/: 7 to 14 minutes on two
# cores, then cached. It prints the path of the binary. With -n it builds nothing, and fails when there is none.
set -eu
cd "$(dirname "$0")/cluster"
cache="${TAPIO_KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tapio/kube}"
binary="$cache/cluster-$(cat go.mod go.sum main.go | sha256sum | cut -c1-12)"
if [ ! -x "$binary" ]; then
  [ "${1-}" != -n ] || { echo "no $binary: test/kube/build.sh builds it" >&2; exit 1; }
  echo "building Kubernetes' control plane (7 to 14 minutes, once)" >&2
  mkdir -p "$cache"
  CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" go build -ldflags '-s -w' -o "$binary.$$" .
  mv "$binary.$$" "$binary"
fi
echo "$binary"
