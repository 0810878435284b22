#!/bin/sh
# ebpf.sh [KERNEL[:CGROUPS]]...: the ebpf receiver's tests on a real kernel, in virtual machines of these kernels.
#
# CGROUPS is how the machine mounts them, as run.sh takes it (v2). Without arguments: every kernel, all tests on the oldest and the
# newest, and that programs load and events arrive on those between. "all": all tests on every kernel, and on the oldest with v1
# and hybrid layouts.
set -eu

some=
here=$(cd "$(dirname "$0")" && pwd)
case ${1-} in
'') set -- 5.10 6.1 6.12 newest && some=1 ;;
all) set -- 5.10 6.1 6.12 newest 5.10:v1 5.10:hybrid ;;
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
  tests='^TestReal'
  case $some$kernel in 16.*) tests='^TestReal(OOMKill|ProcessExits|Network|DNS|Privileges|SyscallFailures)$' ;; esac
  echo "== kernel $kernel, cgroups $cgroups"
  # TAPIO_TEST_REAL: in there, a test that cannot run is a failure.
  "$here/run.sh" -c "$cgroups" -f "$tmp/ebpf.test" "$kernel" -- env TAPIO_TEST_REAL=1 ./ebpf.test -test.run "$tests" -test.v=true ||
    failed="$failed $machine"
done
[ -z "$failed" ] || { echo "ebpf.sh: failed on$failed" >&2; exit 1; }
