#!/bin/sh
# run.sh COMMAND [ARGUMENT]...: runs a command under a real systemd, shows its output, and exits as it did; 124 when it takes
# longer than SECONDS (120), 125 when systemd ended without a status.
#
# It boots Debian's systemd, journald and dbus in a container (systemd-nspawn; some 2 s), from the root folder of root.sh. If COMMAND is a file, it is copied in. Files in the folder SHARE are at /share there. The
# container has no network and no memory limits where this machine's cgroups don't allow them; vm.sh has.
#
#   go test -c -o /tmp/systemd.test ./receiver/systemdreceiver
#   test/systemd/run.sh /tmp/systemd.test -test.run TestReal
#
# Needs root and the Debian packages systemd-container and debootstrap (make setup).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2s/^# /usage: /p' "$0" >&2; exit 2; }
command -v systemd-nspawn > /dev/null || { echo "run.sh: systemd-nspawn is missing; make setup installs it" >&2; exit 2; }
root=$("$here/root.sh")

job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
if [ -f "$1" ]; then
  cp -L "$1" "$job/command"
  chmod +x "$job/command"
  shift
  set -- /job/command "$@"
fi
{
  printf '#!/bin/sh\ncd /job\n'
  for word; do
    printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
  done
  printf '> /job/out 2>&1 < /dev/null\necho $? > /job/status\nsystemctl --no-block --force poweroff\n'
} > "$job/run"
chmod +x "$job/run"
printf '[Unit]\nAfter=basic.target dbus.service\n[Service]\nType=oneshot\nPassEnvironment=TAPIO_TEST_REAL\nExecStart=/job/run\n' > "$job/tapio.service"
: > "$job/out"
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=${UNIFIED:-0} setsid timeout -k 5 "${SECONDS_AT_MOST:-120}" systemd-nspawn -q -D "$root" \
  --volatile=overlay --register=no --keep-unit --private-network --machine "tapio-test-$$" --bind="$job:/job" \
  ${SHARE:+--bind="$SHARE:/share"} --bind-ro="$job/tapio.service:/etc/systemd/system/tapio.service" --setenv=TAPIO_TEST_REAL="${TAPIO_TEST_REAL-}" \
  -b --console=pipe systemd.wants=tapio.service < /dev/null > "$job/console" 2>&1 && ended=0 || ended=$?
cat "$job/out"
status=$(cat "$job/status" 2> /dev/null || true)
[ -n "$status" ] || { [ "$ended" = 124 ] && exit 124; tail -n 20 "$job/console" >&2; exit 125; }
exit "$status"
