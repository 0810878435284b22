#!/bin/sh
# record-all.sh [NAME]...: records the text archives in this folder anew: what real kernels show for cgroups named as
# Kubernetes, container runtimes and systemd name them. Then: go test -run TestLayouts -update
set -eu
cd "$(dirname "$0")"
a=0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9
b=f00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dface
pod=pod6b5a1f0e-2c3d-4e5f-8091-a2b3c4d5e6f7
slice=pod6b5a1f0e_2c3d_4e5f_8091_a2b3c4d5e6f7.slice
burstable=/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-$slice
static=/kubepods.slice/kubepods-podd41d8cd98f00b204e9800998ecf8427e.slice
chosen=$*

record() {
  name=$1 cgroups=$2 kernel=$3
  shift 3
  case " $chosen " in "  " | *" $name "*) ;; *) return 0 ;; esac
  echo "recording $name" >&2
  {
    echo "Recorded by record-all.sh under Debian's kernel $kernel, cgroups $cgroups."
    ../../../test/vm/run.sh -c "$cgroups" "$kernel" -- record.sh "$@"
  } > "$name.new"
  mv "$name.new" "$name.txtar"
}

record kubernetes-v1-cgroupfs-containerd v1 5.10 /kubepods/burstable/$pod/$a /kubepods/besteffort/podd41d8cd98f00b204e9800998ecf8427e/$b
record kubernetes-v1-systemd-cri-dockerd v1 5.10 $burstable/docker-$a.scope $static/docker-$b.scope /system.slice/docker.service
record kubernetes-v2-cgroupfs-crio v2 5.10 /kubepods/burstable/$pod/crio-$a /kubepods/burstable/$pod/crio-conmon-$a /system.slice/crio.service
record kubernetes-v2-cgroupfs-cri-dockerd v2 6.1 /kubepods/burstable/$pod/$a /kubepods/$pod/$b
record kubernetes-v2-systemd-containerd v2 6.12 $burstable/cri-containerd-$a.scope $burstable/cri-containerd-$b.scope \
  /system.slice/containerd.service /system.slice/kubelet.service
record kubernetes-v2-systemd-crio v2 newest $burstable/crio-$a.scope/container $burstable/crio-conmon-$a.scope /system.slice/crio.service
record docker-v1-cgroupfs v1 6.1 /docker/$a /docker/$b
record docker-v2-systemd v2 6.12 /system.slice/docker-$a.scope /system.slice/docker.service
record systemd-v1 v1 5.10 /init.scope /system.slice/ssh.service /user.slice/user-1000.slice/session-1.scope
record systemd-v2 v2 6.1 /init.scope /system.slice/ssh.service /user.slice/user-1000.slice/user@1000.service/init.scope \
  /user.slice/user-1000.slice/user@1000.service/app.slice/notes.service
record systemd-hybrid hybrid 5.10 /init.scope /system.slice/ssh.service
