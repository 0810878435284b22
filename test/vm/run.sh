#!/bin/sh
# run.sh [-c v2|v1|hybrid] [-f FILE[:NAME]]... [-m MIB] [-t SECONDS] [-v] KERNEL -- COMMAND [ARGUMENT]...
#
# Runs a command in a virtual machine under a Debian kernel, shows its output, and exits as it did; 124 when it takes longer
# than SECONDS (300), 125 when the machine ended without a status (a panic, too little memory).
#
# KERNEL is 5.10, 6.1, 6.12, newest, or the path of an image. If COMMAND is a file (a static binary, or a script for
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
# Needs the Debian packages qemu-system-x86, busybox-static and cpio (make setup).
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
kernel=$1
shift 2
[ -f "$kernel" ] || kernel=$("$here/kernel.sh" "$kernel")
for tool in qemu-system-x86_64 busybox cpio; do
  command -v $tool > "$tmp/found" || { echo "run.sh: $tool is missing; make setup installs it" >&2; exit 2; }
done

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
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --create --format=newc --quiet) > "$tmp/initrd"

truncate -s 512M "$tmp/disk"
touch "$tmp/kernel" "$tmp/status"
timeout "$limit" qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp 2 -m "$memory" -nodefaults -display none -no-reboot \
  -serial "file:$tmp/kernel" -chardev stdio,id=output,signal=off -serial chardev:output -serial "file:$tmp/status" \
  -drive "file=$tmp/disk,format=raw,if=none,id=disk,cache=unsafe" -device nvme,drive=disk,serial=tmp \
  -kernel "$kernel" -initrd "$tmp/initrd" -append "console=ttyS0 panic=-1 psi=1" < /dev/null &
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
