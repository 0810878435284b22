#!/bin/sh
# memleak.sh: compares attribution with bcc's memleak, on the same C program (Debian, root). It installs bpfcc-tools, and the headers of
# Debian's kernel, which memleak is compiled with: what it takes from them is the same in every kernel.
set -eu
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}" DEBIAN_FRONTEND=noninteractive
command -v memleak-bpfcc > /dev/null && ls -d /usr/src/linux-headers-*-common > /dev/null 2>&1 || {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends bpfcc-tools "linux-headers-$(dpkg --print-architecture)" > /dev/null
}
# Debian has what all architectures share, and the rest, in folders of their own; bcc wants one.
BCC_KERNEL_SOURCE=$(mktemp -d)
export BCC_KERNEL_SOURCE
trap 'rm -rf "$BCC_KERNEL_SOURCE"' EXIT
common=$(ls -d /usr/src/linux-headers-*-common | tail -n 1)
cp -as "$common/." "$BCC_KERNEL_SOURCE/"
cp -asf "${common%-common}-$(dpkg --print-architecture)/." "$BCC_KERNEL_SOURCE/" 2> /dev/null || true
go test ./receiver/ebpfreceiver/internal/attribution -run '^$' -bench Memleak -benchtime "${1:-3x}"
