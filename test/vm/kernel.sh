#!/bin/sh
# kernel.sh [arm64/]5.10|6.1|6.12|newest: prints the path of that Debian kernel's image, after downloading it if need be; for arm64 a
# busybox is beside it.
#
# The kernels are those of bullseye, bookworm, trixie and sid, in the build for virtual machines (linux-image-cloud-amd64, or -arm64).
# They come from Debian's mirror by apt, which checks their signature, into folders of their own: nothing is installed and
# no root is needed. TAPIO_VM_CACHE says where they are kept (~/.cache/tapio/vm).
set -eu

usage() { echo "usage: kernel.sh [arm64/]5.10|6.1|6.12|newest" >&2; exit 2; }
[ $# -eq 1 ] || usage
cache=${TAPIO_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tapio/vm}
version=${1#arm64/} architecture=amd64
[ "$version" = "$1" ] || architecture=arm64 cache=$cache/arm64
case $version in
5.10) suite=bullseye ;;
6.1) suite=bookworm ;;
6.12) suite=trixie ;;
newest) suite=sid ;;
*) usage ;;
esac

image=$cache/vmlinuz-$version
if [ -s "$image" ]; then
  echo "$image"
  exit 0
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/download.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/etc/apt/preferences.d" "$work/etc/apt/apt.conf.d" "$work/var/lib/apt/lists/partial" "$work/var/cache/apt/archives/partial"
# The mirror that this machine uses already may be the only one it can reach.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m 1 '/debian/$' || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian/} $suite main" \
  > "$work/etc/apt/sources.list"

# fetch SUBCOMMAND...: apt-get or apt-cache, with everything they read and write below $work.
fetch() {
  tool=$1
  shift
  "$tool" -qq -o Dir="$work" -o Dir::State::status=/dev/null -o APT::Sandbox::User="$(id -un)" -o APT::Architecture=$architecture \
    -o APT::Architectures=$architecture -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}
# needs PACKAGE PATTERN: which of the packages that it depends on match.
needs() { fetch apt-cache depends "$1" | sed -n 's/.*Depends: //p' | grep -E "$2" || true; }

echo "downloading the kernel $1 of Debian $suite" >&2
fetch apt-get update >&2
kernel=$(needs "linux-image-cloud-$architecture" '^linux-image-[0-9]' | head -n 1)
[ -n "$kernel" ] || { echo "kernel.sh: Debian $suite has no linux-image-cloud-$architecture (mirror: $mirror)" >&2; exit 1; }
# Newer releases keep the image itself in a package that this one depends on.
parts=$(needs "$kernel" '^linux-(binary|image|modules)[^ ]*-[0-9]')
cd "$work"
[ $architecture = amd64 ] || parts="$parts busybox-static"
# shellcheck disable=SC2086 # one word a package
fetch apt-get download "$kernel" $parts >&2
for package in ./*.deb; do dpkg-deb --extract "$package" files; done
found=$(find files -name 'vmlinuz*' -type f | head -n 1)
[ -n "$found" ] || { echo "kernel.sh: there is no vmlinuz in $kernel $parts" >&2; exit 1; }
[ $architecture = amd64 ] || mv "$(find files -path "*/bin/busybox")" "$cache/busybox"
mv "$found" "$image" # in one step: others may run beside us
echo "$image"
