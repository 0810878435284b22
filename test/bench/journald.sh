#!/bin/sh
# journald.sh [ENTRIES [SECONDS]]: the cost of reading a journal, and of following one at 1,000 entries a second, by Tapio's
# receiver, the upstream one and go-systemd's sdjournal. The journal is made of text, like a node's: kubelet and containerd.
set -eu
cd "$(dirname "$0")/journald"
entries=${1:-200000}
seconds=${2:-30}
export GOFLAGS="${GOFLAGS--trimpath -buildvcs=false}"
remote=/lib/systemd/systemd-journal-remote
[ -x $remote ] || { echo "journald.sh: systemd-journal-remote is missing (make setup, as root)" >&2; exit 2; }
[ -e /usr/include/systemd/sd-journal.h ] || { echo "journald.sh: libsystemd-dev is missing, which go-systemd needs" >&2; exit 2; }
tmp=$(mktemp -d)
writer=
trap '[ -z "$writer" ] || kill $writer 2> /dev/null || true; rm -rf "$tmp"' EXIT
go build -o "$tmp/bench" .
go build -o "$tmp/write" ./write
machine=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1
dir=$tmp/journal/$machine
mkdir -p "$dir"
"$tmp/write" "$entries" | $remote --output "$dir/system.journal" - > "$tmp/log" 2>&1
echo "$(du -sm "$dir" | cut -f 1) MiB of journal, $entries entries of 15 to 18 fields, three runs each:"
for _ in 1 2 3; do
  for reader in tapio upstream sdjournal; do "$tmp/bench" read $reader "$dir" "$entries"; done
done
echo "following:"
for reader in tapio upstream sdjournal; do
  follow=$tmp/follow/$reader/$machine
  mkdir -p "$follow"
  "$tmp/write" 1000 | $remote --output "$follow/system.journal" - > "$tmp/log" 2>&1
  "$tmp/write" -rate 1000 $(((seconds + 5) * 1000)) | $remote --output "$follow/system.journal" - > "$tmp/log" 2>&1 &
  writer=$!
  sleep 2
  "$tmp/bench" follow $reader "$follow" "$seconds"
  wait $writer
  writer=
done
