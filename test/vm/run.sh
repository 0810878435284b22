#!/bin/sh
# run.sh [-c v2|v1|hybrid] [-f FILE[:NAME]]... [-m MIB] [-t SECONDS] [-v] KERNEL -- COMMAND [ARGUMENT]...
#
# Runs a command in a virtual machine under a Debian kernel, shows its output, and exits as it did; 124 when it takes longer
# than SECONDS (300), 125 when the machine ended without a status (a panic, too little memory).
#
# KERNEL is 5.10, 6.1, 6.12, newest, arm64/ and one of these, or the path of an image. If COMMAND is a file (a static binary, or a script for
# busybox sh), it is copied in; -f copies more files or folders. All of them are in /work there, which is also the working
# directory; /tmp there is on a disk of 512 MiB. -c says how cgroups are mounted at /sys/fs/cgroup: v2 with memory, cpu, pids and io (the default); v1, each
# controller in its own folder; hybrid, memory in v2 at unified/, the others v1. -m gives the machine memory (1024). -v
# shows the kernel's messages on stderr.
#
#   go test -c -o /tmp/receiver.test ./receiver/cgroupreceiver
#   test/vm/run.sh 6.1 -- /tmp/receiver.test -test.run TestReal
#
# The machine is emulated in software, so that it runs anywhere (KVM or not): 3 to 4 s to boot, and code is slower, system
# calls most. Its CPUs take turns (thread=single): side by side, one of them may run an instruction that the kernel has just
# patched in the other's sight, and the kernel panics (seen with 6.12).
# Needs the Debian packages qemu-system-x86 (for arm64 qemu-system-arm), busybox-static and cpio (make setup).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2s/^# /usage: /p' "$0" >&2; exit 2; }
tmp=$(mktemp -d)
qemu=
trap 'rm -rf "$tmp"' EXIT
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null; exit 130' INT TERM
root=$tmp/root
mkdir -p "$root/work" "$root/bin"

cgroups=v2 memory=1024 limit=300 verbose=
while getopts c:f:m:t:v option; do
  case $option in
  c) cgroups=$OPTARG ;;
  f)
    case $OPTARG in *:*) name=${OPTARG##*:} ;; *) name=$(basename "$OPTARG") ;; esac
    mkdir -p "$root/work/$(dirname "$name")"
    cp -RL "${OPTARG%:*}" "$root/work/$name"
    ;;
  m) memory=$OPTARG ;;
  t) limit=$OPTARG ;;
  v) verbose=1 ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 3 ] && [ "$2" = -- ] || usage
case $cgroups in v1 | v2 | hybrid) ;; *) usage ;; esac
# What differs: the first serial port of an arm64 machine is of another kind, the others are on its bus. Its signatures of addresses
# are computed in a simple way: the real one takes very long to emulate. Its clock counts instructions (250 million a second), so that
# a busy host does not make it slow by its own measure; an amd64 machine with two CPUs does not boot so.
case $1 in
arm64/*)
  emulator=qemu-system-aarch64 machine='virt -cpu max,pauth-impdef=on -icount shift=2'
  ports='-device pci-serial,chardev=output -device pci-serial,chardev=status'
  console=ttyAMA0 output=/dev/ttyS0 status=/dev/ttyS1
  ;;
*)
  emulator=qemu-system-x86_64 machine='pc -cpu max' ports='-serial chardev:output -serial chardev:status'
  console=ttyS0 output=/dev/ttyS1 status=/dev/ttyS2
  ;;
esac
for tool in $emulator busybox cpio; do
  command -v $tool > "$tmp/found" || { echo "run.sh: $tool is missing; make setup installs it" >&2; exit 2; }
done
kernel=$1 busybox=$(command -v busybox)
shift 2
[ -f "$kernel" ] || kernel=$("$here/kernel.sh" "$kernel")
[ ! -f "${kernel%/*}/busybox" ] || busybox=${kernel%/*}/busybox

if [ -f "$1" ]; then
  name=$(basename "$1")
  cp -L "$1" "$root/work/$name"
  chmod +x "$root/work/$name"
  shift
  set -- "./$name" "$@"
fi
# Each word in quotes of its own, for the shell in the machine.
for word; do
  printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
done > "$root/work/command"
echo "$cgroups" > "$root/work/cgroups"
cp "$busybox" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --create --format=newc --quiet) > "$tmp/initrd"

truncate -s 512M "$tmp/disk"
touch "$tmp/kernel" "$tmp/status"
# shellcheck disable=SC2086 # several words
timeout "$limit" $emulator -accel tcg,thread=single -machine $machine -smp 2 -m "$memory" -nodefaults -display none -no-reboot \
  -serial "file:$tmp/kernel" -chardev stdio,id=output,signal=off -chardev "file,id=status,path=$tmp/status" $ports \
  -drive "file=$tmp/disk,format=raw,if=none,id=disk,cache=unsafe" -device nvme,drive=disk,serial=tmp \
  -kernel "$kernel" -initrd "$tmp/initrd" -append "console=$console panic=-1 psi=1 output=$output status=$status" < /dev/null &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=
[ -z "$verbose" ] || cat "$tmp/kernel" >&2
status=$(tr -dc 0-9 < "$tmp/status")
if [ -n "$status" ]; then
  exit "$status"
fi
[ "$ended" -eq 124 ] && echo "run.sh: the command did not end within $limit s" >&2 || ended=125
[ -n "$verbose" ] || tail -n 20 "$tmp/kernel" >&2
exit "$ended"
