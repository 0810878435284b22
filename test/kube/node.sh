#!/bin/sh
# node.sh PROGRAM [ARGUMENT]... runs a program (root) where containerd and a kubelet can run without touching the machine: in mount, network
# and process namespaces of its own, and with a cgroup /tapio-kube for the pods. All that runs in there ends with the program.
set -eu
if [ "${TAPIO_NODE_INSIDE-}" = "" ]; then
  hierarchies="cpu cpuacct cpuset memory devices freezer blkio pids systemd unified"
  root=/sys/fs/cgroup
  clean() {
    for h in $hierarchies ""; do
      [ -d "$root/$h/tapio-kube" ] || continue
      # Processes of the namespace may need a moment to be gone.
      for _ in 1 2 3 4 5 6 7 8 9 10; do
        find "$root/$h/tapio-kube" -depth -type d -exec rmdir {} + 2> /dev/null && break
        sleep 0.2
      done
    done
  }
  trap clean EXIT
  for h in $hierarchies; do [ ! -d "$root/$h" ] || mkdir -p "$root/$h/tapio-kube"; done
  if [ -d "$root/cpuset/tapio-kube" ]; then
    cat "$root/cpuset/cpuset.cpus" > "$root/cpuset/tapio-kube/cpuset.cpus"
    cat "$root/cpuset/cpuset.mems" > "$root/cpuset/tapio-kube/cpuset.mems"
  elif [ -e "$root/cgroup.controllers" ]; then
    mkdir -p "$root/tapio-kube"
  fi
  TAPIO_NODE_INSIDE=1 unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
  exit
fi
mount --make-rprivate /
mount --make-rshared /
ip link set lo up
ip link add node0 type bridge
ip addr add 10.199.0.1/24 dev node0
ip link set node0 up
ip route add default dev node0 # services, and what the API server takes its address from
echo 1 > /proc/sys/net/ipv4/ip_forward # of this namespace
# Paths that containerd, CNI and the kubelet have built in.
for d in /run/containerd /run/netns /var/lib/cni /var/log/containers /etc/cni /var/lib/kubelet; do
  mkdir -p "$d"
  mount -t tmpfs tapio "$d"
done
# The kubelet wants these two set: it is shown what it wants, and nothing is written to the machine.
shown=$(mktemp -d -p /run/containerd)
echo 1 > "$shown/overcommit_memory"
echo 10 > "$shown/panic"
mount --bind "$shown/overcommit_memory" /proc/sys/vm/overcommit_memory
mount --bind "$shown/panic" /proc/sys/kernel/panic
mount --make-shared /run/netns
exec "$@"
