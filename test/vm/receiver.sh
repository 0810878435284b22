#!/bin/sh
# receiver.sh [KERNEL[:CGROUPS]]...: the cgroup receiver's tests against real cgroups, in virtual machines of these kernels.
#
# CGROUPS is how the machine mounts them, as run.sh takes it (v2). Without arguments: the oldest and a recent kernel, and the
# oldest with a hybrid layout, to be quick. "all" is every kernel, and v1 and hybrid where the kernel has them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
case ${1-} in
'') set -- 5.10 6.12 5.10:hybrid ;;
all) set -- 5.10 6.1 6.12 newest 5.10:v1 6.1:v1 5.10:hybrid 6.1:hybrid ;;
esac

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
export GOFLAGS="${GOFLAGS--trimpath}"
(cd "$here/../.." && CGO_ENABLED=0 go test -c -o "$tmp/receiver.test" ./receiver/cgroupreceiver)

# TAPIO_TEST_REAL: in there, a test that cannot run is a failure.
test_there() {
  "$here/run.sh" -c "$cgroups" -f "$tmp/receiver.test" "$kernel" -- env TAPIO_TEST_REAL=1 ./receiver.test -test.run '^TestReal' -test.v=true
}

failed=
for machine; do
  kernel=${machine%%:*}
  cgroups=v2
  case $machine in *:*) cgroups=${machine#*:} ;; esac
  echo "== kernel $kernel, cgroups $cgroups"
  test_there || { echo "== once more" && test_there; } || failed="$failed $machine"
done
[ -z "$failed" ] || { echo "receiver.sh: failed on$failed" >&2; exit 1; }
