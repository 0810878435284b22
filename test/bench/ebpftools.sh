#!/bin/sh
# ebpftools.sh: compares the ebpf receiver's programs with bpftrace's tools from Debian, in a virtual machine with Debian's systemd and
# kernel (KERNEL, 6.1; biolatency.bt wants 5.10), where kprobes work (root; 3 minutes, the first time 3 more).
set -eu
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/" ./test/bench/ebpftools
CLOCK=instructions TAPIO_SYSTEMD_MORE=bpftrace,libc6-dev SECONDS_AT_MOST=900 test/systemd/vm.sh "$tmp/ebpftools"
