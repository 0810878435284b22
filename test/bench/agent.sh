#!/bin/sh
# agent.sh [SECONDS]: CPU and memory of a tapio-collector on its default configuration, over this machine's own cgroups.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
state=$(mktemp -d)
TAPIO_STATE_DIR=$state TAPIO_FINDINGS_ENDPOINT=localhost:24320 TAPIO_METRICS_ENDPOINT=localhost:24321 \
  bin/tapio-collector --config tapio:local > "$state/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$state"' EXIT
sleep 10 # start-up is not what it costs
ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
before=$(ticks)
sleep "$seconds"
after=$(ticks)
awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v seconds="$seconds" -v cgroups="$(find /sys/fs/cgroup -name cgroup.procs | wc -l)" \
  '/^VmRSS/ { rss = $2 } /^RssAnon/ { anon = $2 }
   END { printf "tapio-collector: %.2f %% of one core, RSS %d MiB (anonymous %d MiB), %d cgroup folders, every 5 s\n", 100 * ticks / hz / seconds, rss / 1024, anon / 1024, cgroups }' "/proc/$pid/status"
