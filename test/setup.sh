#!/bin/sh
# setup.sh installs what the tests and `make generate` need beyond Go, gcc, git and make, from Debian's packages: nothing where it is there.
#
# Without root or apt-get it only says what is missing; test/run.sh then skips what needs it, and says so.
set -eu

packages=
need() { command -v "$1" > /dev/null 2>&1 || packages="$packages $2"; }
need qemu-system-x86_64 qemu-system-x86 # other kernels, cgroup v2: test/vm
need qemu-system-aarch64 qemu-system-arm # the same on arm64
[ -e /usr/aarch64-linux-gnu/lib/libc.a ] || packages="$packages libc6-dev-arm64-cross"
ls /usr/lib/gcc-cross/aarch64-linux-gnu/*/libgcc_eh.a > /dev/null 2>&1 || packages="$packages libgcc-12-dev-arm64-cross"
need aarch64-linux-gnu-ld binutils-aarch64-linux-gnu
need busybox busybox-static
need cpio cpio
need systemd-nspawn systemd-container # a real systemd: test/systemd
need debootstrap debootstrap
need mke2fs e2fsprogs
need prometheus prometheus # tapio forecast --prometheus
need containerd containerd # a real container runtime: receiver/crireceiver
need runc runc
[ -x /usr/bin/python3 ] || packages="$packages python3" # programs that leak: receiver/ebpfreceiver/internal/attribution
need node nodejs
need javac openjdk-17-jdk-headless
need ip iproute2 # a real node: test/kube/node.sh
need iptables iptables # translated addresses: receiver/ebpfreceiver
[ -x /usr/lib/cni/bridge ] || packages="$packages containernetworking-plugins"
need journalctl systemd    # real journals: receiver/journaldreceiver
# Programs that leak, in other languages and with other allocators: receiver/ebpfreceiver/internal/attribution.
need g++ g++
need rustc rustc
need musl-gcc musl-tools
for lib in libjemalloc.so.2:libjemalloc2 libtcmalloc_minimal.so.4:libtcmalloc-minimal4; do
  [ -e "/usr/lib/$(uname -m)-linux-gnu/${lib%:*}" ] || packages="$packages ${lib#*:}"
done
need clang clang           # programs for the kernel: make generate
need llvm-strip llvm
[ -e /usr/include/bpf/bpf_core_read.h ] || packages="$packages libbpf-dev"
[ -x /lib/systemd/systemd-journal-remote ] || packages="$packages systemd-journal-remote"

[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null 2>&1; then
  echo "setup: missing:$packages (apt-get install$packages, as root); tests that need them are skipped" >&2
  exit 0
fi
echo "setup: installing$packages" >&2
export DEBIAN_FRONTEND=noninteractive
# A service that a package starts by itself is none of ours.
printf '#!/bin/sh\nexit 101\n' > /tmp/tapio-policy-rc.d
if [ ! -e /usr/sbin/policy-rc.d ]; then
  install -m 0755 /tmp/tapio-policy-rc.d /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
rm -f /tmp/tapio-policy-rc.d
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $packages > /tmp/tapio-setup.log 2>&1 || { tail -n 20 /tmp/tapio-setup.log >&2; exit 1; }
