#!/bin/sh
# ebpf.sh [KERNEL[:CGROUPS]]...: the ebpf receiver's tests on a real kernel, in virtual machines of these kernels.
#
# CGROUPS is how the machine mounts them, as run.sh takes it (v2). Without arguments, or with "all": every kernel, and the
# oldest with a hybrid layout.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
case ${1-} in
'' | all) set -- 5.10 6.1 6.12 newest 5.10:hybrid ;;
esac

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
export GOFLAGS="${GOFLAGS--trimpath}"
(cd "$here/../.." && CGO_ENABLED=0 go test -c -o "$tmp/ebpf.test" ./receiver/ebpfreceiver)

failed=
for machine; do
  kernel=${machine%%:*}
  cgroups=v2
  case $machine in *:*) cgroups=${machine#*:} ;; esac
  echo "== kernel $kernel, cgroups $cgroups"
  # TAPIO_TEST_REAL: in there, a test that cannot run is a failure.
  "$here/run.sh" -c "$cgroups" -f "$tmp/ebpf.test" "$kernel" -- env TAPIO_TEST_REAL=1 ./ebpf.test -test.run '^TestReal' -test.v=true ||
    failed="$failed $machine"
done
[ -z "$failed" ] || { echo "ebpf.sh: failed on$failed" >&2; exit 1; }
