#!/bin/sh
# ebpf.sh [KERNEL[:CGROUPS]]...: the ebpf receiver's tests on a real kernel, in virtual machines of these kernels: what it tells, and
# that it finds out who holds a leak.
#
# CGROUPS is how the machine mounts them, as run.sh takes it (v2). "amd64": every kernel, all tests on the oldest and the newest, and on those
# between that programs load, events arrive and leaks are found; "earlier" and "later": half of these each; "arm64": the same with 6.1;
# without arguments both. "all": all tests on every kernel, and on the oldest with v1 and hybrid layouts.
set -eu

some=
here=$(cd "$(dirname "$0")" && pwd)
case ${1-} in
'') set -- 5.10 6.1 6.12 newest arm64/6.1 && some=1 ;;
amd64) set -- 5.10 6.1 6.12 newest && some=1 ;;
earlier) set -- 5.10 6.1 && some=1 ;;
later) set -- 6.12 newest && some=1 ;;
arm64) set -- arm64/6.1 && some=1 ;;
all) set -- 5.10 6.1 6.12 newest 5.10:v1 5.10:hybrid arm64/5.10 arm64/6.1 arm64/6.12 arm64/newest ;;
esac

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
export GOFLAGS="${GOFLAGS--trimpath}"
export CGO_ENABLED=0
attribution=receiver/ebpfreceiver/internal/attribution
# build ARCHITECTURE: the tests, and programs that leak: nothing can be built in there. clang has every architecture in it, and
# the addresses that functions return to shall be signed where a machine can do that.
build() {
  mkdir -p "$tmp/$1/programs"
  (
    cd "$here/../.."
    export GOARCH="$1"
    go test -c -o "$tmp/$1/ebpf.test" ./receiver/ebpfreceiver
    go test -c -o "$tmp/$1/attribution.test" ./$attribution
    (cd $attribution/testdata/goleak && GOWORK=off go build -o "$tmp/$1/programs/goleak" .)
    case $1 in
    arm64) compiler='clang --target=aarch64-linux-gnu -mbranch-protection=standard' ;;
    *) compiler=gcc ;;
    esac
    $compiler -O2 -static -pthread -o "$tmp/$1/programs/native" $attribution/testdata/native/native.c
  )
}
cat > "$tmp/tests.sh" << 'END'
#!/bin/sh
# TAPIO_TEST_REAL: in here, a test that cannot run is a failure. TAPIO_TEST_MACHINE: what the machine has may be used up.
export TAPIO_TEST_REAL=1 TAPIO_TEST_MACHINE=1
# tests BINARY TESTS: each that fails once more, as outside: the machine is emulated, and others keep its host busy.
tests() {
  { "$1" -test.run "$2" -test.v=true; echo $? > status; } | tee said
  [ "$(cat status)" != 0 ] || return 0
  failed=$(sed -n 's/^--- FAIL: \([A-Za-z0-9]*\) .*/\1/p' said | tr '\n' '|')
  [ -n "$failed" ] || return 1
  echo "== once more: $failed"
  "$1" -test.run "^(${failed%|})\$" -test.v=true
}
status=0
tests ./ebpf.test "$1" || status=1
[ -z "$2" ] || TAPIO_TEST_PROGRAMS=/work/programs tests ./attribution.test "$2" || status=1
exit $status
END

test_there() {
  "$here/run.sh" -c "$cgroups" -t 600 -f "$tmp/$architecture/ebpf.test" -f "$tmp/$architecture/attribution.test" \
    -f "$tmp/$architecture/programs" "$kernel" -- "$tmp/tests.sh" "$tests" "$leaks"
}

failed=
for machine; do
  kernel=${machine%%:*}
  cgroups=v2
  case $machine in *:*) cgroups=${machine#*:} ;; esac
  architecture=amd64
  case $kernel in arm64/*) architecture=arm64 ;; esac
  [ -d "$tmp/$architecture" ] || build $architecture
  tests='^TestReal'
  leaks='^TestReal'
  case $some$kernel in
  16.* | 1arm64/*) leaks='^TestReal(Go|C)$' tests='^TestReal(OOMKill|ProcessExits|Network|DNS|Privileges|SyscallFailures)$' ;;
  esac
  # Of the kernels since which functions return by a system call.
  case $some$kernel in 16.12) leaks='^TestReal(Go|C|Filtered)$' ;; esac
  case $some$kernel in 1arm64/*) leaks='^TestReal(Go|C|Privileges)$' ;; esac
  echo "== kernel $kernel, cgroups $cgroups"
  test_there || { [ $? -ge 124 ] && echo "== once more" && test_there; } || failed="$failed $machine"
done
[ -z "$failed" ] || { echo "ebpf.sh: failed on$failed" >&2; exit 1; }
