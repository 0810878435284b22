#!/bin/bash
# run.sh runs every test that this machine can run, and ends with what was skipped and why. `make test` calls it after
# building the programs; TAPIO_TEST_KERNELS names the kernels for the tests in virtual machines ("all", or "" for the usual).
#
# What boots a system of its own, and what runs on Kubernetes, runs beside the rest, and is shown after it: most of each waits.
# Most tests look at real kills, kernels and clocks on a machine that others may keep busy: what fails is run once more, and both are
# shown. A data race is not forgiven.
set -eu
cd "$(dirname "$0")/.."
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
attribution=./receiver/ebpfreceiver/internal/attribution
leaks="$attribution $attribution/python"
computes="./test/bench/... ./internal/correlation/patterntest"
# shellcheck disable=SC2046,SC2086 # one word a package
tests=$(go list ./... | grep -v -x -e '.*/test/e2e' -e '.*/test/kube' $(go list $leaks $computes | sed 's/^/-e /'))
results=$(mktemp -d)
: > "$results/failed"
: > "$results/skipped"
skip() { echo "  $1" >> "$results/skipped"; }
# run TITLE COMMAND [ARGUMENT]...
run() {
  printf '\n== %s\n' "$1"
  shift
  TIMEFORMAT='took %0R s, and %0U + %0S s of CPU time'
  time "$@" || echo "  $*" >> "$results/failed"
}

# go_test [FLAG]... PACKAGE...: each test that fails once more, as said above.
go_test() {
  flags=
  while [ "${1#-}" != "$1" ]; do
    flags="$flags $1"
    shift
  done
  # shellcheck disable=SC2086 # one word a flag
  go tool gotestsum --format pkgname-and-test-fails --rerun-fails=1 --rerun-fails-abort-on-data-race --packages "$*" -- $flags
}
# twice COMMAND [ARGUMENT]...: once more if it fails.
twice() { "$@" || { printf '\n== once more\n' && "$@"; }; }

# Other kernels, in three lanes unless some are asked for. Those of arm64 are in the one that is done sooner.
other_kernels() { # MACHINE SET OF KERNELS...
  if command -v "qemu-system-$1" > /dev/null && command -v busybox > /dev/null && command -v cpio > /dev/null; then
    shift
    run "the ebpf receiver, under other kernels: $*" test/vm/ebpf.sh "$@"
  else
    skip "the ebpf receiver under other kernels: qemu-system-$1, busybox-static or cpio is missing (make setup, as root)"
  fi
}
# shellcheck disable=SC2086
kernels() { other_kernels x86_64 ${TAPIO_TEST_KERNELS:-earlier}; }
later_kernels() { [ -n "${TAPIO_TEST_KERNELS-}" ] || other_kernels x86_64 later; }
arm64() { [ -n "${TAPIO_TEST_KERNELS-}" ] || other_kernels aarch64 arm64; }

# A real systemd, whole machines, and other layouts of cgroups.
machines() {
  if command -v systemd-nspawn > /dev/null && command -v debootstrap > /dev/null && [ "$(id -u)" = 0 ]; then
    race=
    ! command -v gcc > /dev/null 2>&1 || race=-race
    go test $race -c -o bin/systemdreceiver.test ./receiver/systemdreceiver
    run "the systemd receiver, under a real systemd" twice env TAPIO_TEST_REAL=1 test/systemd/run.sh bin/systemdreceiver.test -test.run '^TestReal'
  else
    skip "the systemd receiver under a real systemd: systemd-container or debootstrap is missing (make setup), or this is not root"
  fi

  if command -v qemu-system-x86_64 > /dev/null && command -v mke2fs > /dev/null && command -v debootstrap > /dev/null && [ "$(id -u)" = 0 ]; then
    go test -c -o bin/e2e.test ./test/e2e
    run "all layers at once, in a machine with systemd and containers" twice env SECONDS_AT_MOST=900 test/systemd/vm.sh -f bin/tapio -f bin/tapio-collector \
      -f bin/workload -f bin/demo -f bin/e2e.test env TAPIO_TEST_REAL=1 TAPIO_TEST_BIN=/job ./e2e.test -test.run '^(TestEveryLayerTellsOneKill|TestAKillThatSystemdSaw)$'
  else
    skip "all layers at once, in a machine with systemd: qemu-system-x86, e2fsprogs or debootstrap is missing (make setup), or this is not root"
  fi

  if command -v qemu-system-x86_64 > /dev/null && command -v busybox > /dev/null && command -v cpio > /dev/null; then
    # A virtual machine has no libraries: the collector without cgo, which has all but the journal.
    CGO_ENABLED=0 go build -o bin/static/ ./cmd/tapio-collector
    # shellcheck disable=SC2086
    run "the cgroup receiver, under other kernels" test/vm/receiver.sh ${TAPIO_TEST_KERNELS-}
    run "the demo, on cgroup v2" twice test/vm/run.sh -m 2048 -t 400 -f bin/tapio -f bin/static/tapio-collector -f bin/workload 6.1 -- bin/demo -bin /work
  else
    skip "other kernels, and the demo on cgroup v2: qemu-system-x86, busybox-static or cpio is missing (make setup, as root)"
  fi
}

# A real Kubernetes control plane, built once from its modules (7 to 14 minutes) and kept.
kubernetes() {
  if TAPIO_KUBE_BINARY=$(test/kube/build.sh); then
    export TAPIO_KUBE_BINARY
    run "tapio check, on a real Kubernetes API" go_test -count=1 ./test/kube
    if [ "$(id -u)" = 0 ] && [ -x /usr/lib/cni/bridge ] && command -v containerd > /dev/null; then
      run "real pods, under a real kubelet" twice test/kube/e2e.sh
    else
      skip "real pods under a real kubelet: containerd or containernetworking-plugins is missing (make setup), or this is not root"
    fi
  else
    skip "Kubernetes' real API: test/kube/build.sh could not build it"
  fi
  arm64
}

# beside LANE runs it beside the rest; join waits for all, and shows what they said.
lanes=
beside() {
  set -m # a process group of its own, so that all of it can be ended
  "$1" > "$results/$1" 2>&1 < /dev/null &
  set +m
  lanes="$lanes $1:$!"
}
join() {
  for lane in $lanes; do
    wait "${lane#*:}" || echo "  ${lane%:*} ended early" >> "$results/failed"
    cat "$results/${lane%:*}"
  done
  lanes=
}
end() { for lane in $lanes; do kill -- "-${lane#*:}" 2> /dev/null || true; done; rm -rf "$results"; }
trap end EXIT
trap 'exit 130' INT TERM

CGO_ENABLED=0 go build -o bin/ ./test/workload ./test/demo
beside kernels
beside later_kernels
beside machines
beside kubernetes

# A containerd that sends events, built once and kept: Debian's does not.
if command -v containerd > /dev/null && [ "$(id -u)" = 0 ]; then
  if TAPIO_CONTAINERD=$(test/containerd/build.sh); then
    export TAPIO_CONTAINERD
  else
    skip "the events of containerd 2: test/containerd/build.sh could not build it"
  fi
else
  skip "a real container runtime: containerd is missing (make setup), or this is not root"
fi

# Most packages wait more than they compute: more of them at once than there are CPUs.
if command -v gcc > /dev/null 2>&1; then
  # shellcheck disable=SC2086 # one word a package
  run "unit tests, with the race detector" go_test -race -p=4 $tests
else
  skip "the race detector: gcc is missing"
  # shellcheck disable=SC2086
  run "unit tests" go_test $tests
fi

# What computes and runs no goroutine: with the race detector it would take minutes.
# shellcheck disable=SC2086
run "forecasts, scored on recorded runs, and patterns by their tests" go test $computes

# The programs themselves, on this machine. Not beside the unit tests: these compile, and an end-to-end run has a clock.
# They wait more than they compute: more of them at once than there are CPUs.
run "end to end, on this machine" go_test -count=1 -parallel=10 ./test/e2e

join

# Programs that leak, each looked at for seconds and up to its kill, many at once: they want the machine to themselves.
# shellcheck disable=SC2086
run "who holds a leak, in real programs" go_test -count=1 $leaks
! command -v gcc > /dev/null 2>&1 ||
  run "the same with the race detector, of each kind one" go_test -race -count=1 -run='^Test(Go|C|Goroutines|Python)$' $attribution

[ ! -s "$results/skipped" ] || { printf '\nskipped:\n'; cat "$results/skipped"; }
[ ! -s "$results/failed" ] || { { printf '\nFAILED:\n'; cat "$results/failed"; } >&2; exit 1; }
printf '\nall passed\n'
