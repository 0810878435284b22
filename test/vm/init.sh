#!/bin/busybox sh
# init.sh is the first process in the virtual machine: it mounts what a Linux machine has, runs /work/command, and tells its
# output and exit status, at the serial ports that the kernel's command line names as $output and $status.
export PATH=/bin HOME=/work
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mke2fs /dev/nvme0n1 > /dev/null && mount /dev/nvme0n1 /tmp # a disk: its page cache can be dropped, that of tmpfs cannot
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
ifconfig lo 127.0.0.1 up
stty -F "$output" raw
stty -F "$status" raw

# unified FOLDER CONTROLLER...: cgroup v2 there, with these controllers for its children.
unified() {
  folder=$1
  shift
  mkdir -p "$folder"
  mount -t cgroup2 cgroup2 "$folder"
  for controller; do echo "+$controller" > "$folder/cgroup.subtree_control"; done
}
# legacy CONTROLLER...: a cgroup v1 hierarchy for each.
legacy() {
  for controller; do
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" "$controller" "/sys/fs/cgroup/$controller"
  done
}
case $(cat /work/cgroups) in
v2) unified /sys/fs/cgroup memory cpu pids io ;;
v1)
  mount -t tmpfs tmpfs /sys/fs/cgroup
  legacy memory cpu,cpuacct pids blkio
  echo 1 > /sys/fs/cgroup/memory/memory.use_hierarchy # as init systems do; always so since 5.11
  unified /sys/fs/cgroup/unified
  ;;
hybrid) # as with cgroup_no_v1=memory
  mount -t tmpfs tmpfs /sys/fs/cgroup
  legacy cpu,cpuacct pids blkio
  unified /sys/fs/cgroup/unified memory
  ;;
esac

cd /work
sh ./command < /dev/null > "$output" 2>&1
ended=$?
stty -F "$output" sane # waits until the output is out
echo "$ended" > "$status"
poweroff -f
