#!/bin/sh
# vm.sh [-f FILE]... COMMAND [ARGUMENT]...: runs a command in a virtual machine whose first process is a real systemd, shows its
# output, and exits as it did; 124 when it takes longer than SECONDS_AT_MOST (300), 125 when the machine ended without a status.
#
# Here everything is real that a container cannot have: the kernel's log, tracepoints, cgroup v2, systemd's MemoryMax and its word on
# OOM kills, containers in scopes. Debian's systemd, journald, dbus, containerd and runc (root.sh), under a kernel of
# test/vm/kernel.sh (KERNEL, 6.1). COMMAND, and what -f names, are copied to /job, which is the working directory. There is no
# network. The machine is emulated in software: see test/vm/run.sh. With CLOCK=instructions its clock counts those, 250 million a
# second, and it has one CPU: then what code takes there does not depend on how busy the host is.
#
# Needs root, and the Debian packages qemu-system-x86, e2fsprogs and debootstrap (make setup).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
job=$(mktemp -d)
qemu=
trap 'rm -rf "$job"' EXIT
trap '[ -z "$qemu" ] || kill "$qemu" 2> /dev/null; exit 130' INT TERM
mkdir "$job/files"
while getopts f: option; do
  case $option in
  f) cp -RL "$OPTARG" "$job/files/" ;;
  *) sed -n '2s/^# /usage: /p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || { sed -n '2s/^# /usage: /p' "$0" >&2; exit 2; }
for tool in qemu-system-x86_64 mke2fs; do
  command -v $tool > /dev/null || { echo "vm.sh: $tool is missing; make setup installs it" >&2; exit 2; }
done
if [ -f "$1" ]; then
  cp -L "$1" "$job/files/"
  name=$(basename "$1")
  shift
  set -- "/job/$name" "$@"
fi
{
  printf '#!/bin/sh\ncd /job\n'
  for word; do
    printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
  done
  printf '> /dev/ttyS1 2>&1 < /dev/null\nstatus=$?\nstty -F /dev/ttyS1 sane\necho $status > /dev/ttyS2\n'
} > "$job/files/run"

root=$("$here/root.sh")
kernel=$("$here/../vm/kernel.sh" "${KERNEL:-6.1}")
# The root file system is made once for each root folder and unit; a machine writes to a copy on top of it.
image=$root.img
if [ ! -e "$image" ] || [ "$0" -nt "$image" ]; then
  cp -a "$root" "$job/root"
  # No udev, no login, no timers: a machine that runs one command. Without udev a device has no unit that a mount could wait for.
  printf '[Unit]\nAfter=dbus.socket systemd-journald.service\nWants=dbus.socket systemd-journald.service systemd-tmpfiles-setup.service\nDefaultDependencies=no\n[Service]\nType=oneshot\nEnvironment=HOME=/root\nExecStart=/bin/sh -c "mount /dev/nvme1n1 /job && stty -F /dev/ttyS1 raw && stty -F /dev/ttyS2 raw && sh /job/run"\nExecStopPost=/bin/systemctl poweroff --force --force\n' \
    > "$job/root/etc/systemd/system/tapio.service"
  mkdir -p "$job/root/job" "$job/root/var/log/journal"
  echo '127.0.0.1 localhost' > "$job/root/etc/hosts" # containerd wants one
  mke2fs -q -t ext4 -O ^has_journal -d "$job/root" "$image.$$" 900M > /dev/null
  mv "$image.$$" "$image"
  rm -rf "$job/root"
fi
mke2fs -q -t ext4 -O ^has_journal -d "$job/files" "$job/files.img" $(($(du -sm "$job/files" | cut -f1) + 64))M > /dev/null
: > "$job/status"
processors='-smp 2'
[ "${CLOCK-}" != instructions ] || processors='-smp 1 -icount shift=2'
# shellcheck disable=SC2086 # several words
timeout "${SECONDS_AT_MOST:-300}" qemu-system-x86_64 -accel tcg,thread=single -cpu max $processors -m 2048 -nodefaults -display none -no-reboot \
  -serial "file:$job/kernel" -chardev stdio,id=output,signal=off -serial chardev:output -serial "file:$job/status" \
  -drive "file=$image,format=raw,if=none,id=root,cache=unsafe,snapshot=on" -device nvme,drive=root,serial=root \
  -drive "file=$job/files.img,format=raw,if=none,id=job,cache=unsafe" -device nvme,drive=job,serial=job \
  -kernel "$kernel" -append "console=ttyS0 root=/dev/nvme0n1 rw panic=-1 psi=1 mitigations=off systemd.unit=tapio.service systemd.mask=systemd-udevd.service" < /dev/null &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=
status=$(tr -dc 0-9 < "$job/status")
[ -z "$status" ] || exit "$status"
[ "$ended" = 124 ] && exit 124
tail -n 20 "$job/kernel" >&2
exit 125
