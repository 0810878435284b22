#!/bin/sh
# root.sh prints the path of a root folder with Debian's systemd, dbus, containerd and runc, after making it if need be: once, by
# debootstrap (1 to 2 minutes). TAPIO_SYSTEMD_CACHE says where it is kept (~/.cache/tapio/systemd), TAPIO_SYSTEMD_MORE which packages are
# in there as well.
#
# Needs root and the Debian package debootstrap (make setup).
set -eu
packages=systemd,systemd-sysv,dbus,containerd,runc${TAPIO_SYSTEMD_MORE:+,$TAPIO_SYSTEMD_MORE}
cache=${TAPIO_SYSTEMD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tapio/systemd}
root=$cache/$(echo "$packages" | sha256sum | cut -c1-12)
if [ ! -d "$root" ]; then
  command -v debootstrap > /dev/null || { echo "root.sh: debootstrap is missing; make setup installs it" >&2; exit 2; }
  mkdir -p "$cache"
  echo "making a root folder with systemd (1 to 2 minutes, once)" >&2
  debootstrap --variant=minbase --include="$packages" bookworm "$root.$$" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" \
    > "$cache/log.$$" 2>&1 || { tail -n 5 "$cache/log.$$" >&2; rm -rf "$root.$$"; exit 2; }
  # Kept once, copied for every virtual machine.
  rm -rf "$root.$$"/var/cache/apt/* "$root.$$"/var/lib/apt/lists/* "$root.$$"/usr/share/doc "$root.$$"/usr/share/locale "$cache/log.$$"
  mv "$root.$$" "$root"
fi
echo "$root"
