#!/bin/sh
# build.sh builds containerd 2, which sends events, for the tests, once for each change of newer/go.mod: 2 minutes on two cores, then
# cached. It prints the path of the program; its shim is beside it. Debian's containerd, which sends us none, is tested as well.
set -eu
cd "$(dirname "$0")/newer"
folder="${TAPIO_CONTAINERD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tapio/containerd}/$(cat go.mod go.sum | sha256sum | cut -c1-12)"
if [ ! -x "$folder/containerd" ]; then
  echo "building containerd (2 minutes, once)" >&2
  mkdir -p "$folder.$$"
  CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" go build -tags "no_btrfs no_devmapper no_zfs no_tracing" -ldflags '-s -w' -o "$folder.$$/" \
    github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
  mv "$folder.$$" "$folder"
fi
echo "$folder/containerd"
