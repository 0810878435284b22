#!/bin/sh
# record.sh PATH...: makes cgroups of these names, runs something in each, and prints what the kernel then shows of them (and
# of those above) in the files that the receiver reads, as a text archive. It runs in a virtual machine: see record-all.sh.
cd /sys/fs/cgroup || exit 1
trees=$(find . -maxdepth 2 -name cgroup.procs | sed 's#/cgroup.procs##')

for path; do
  for tree in $trees; do
    folder=$tree
    for name in $(echo "$path" | tr / ' '); do
      if [ -f "$folder/cgroup.controllers" ]; then
        for c in $(cat "$folder/cgroup.controllers"); do echo "+$c" > "$folder/cgroup.subtree_control"; done 2>/dev/null
      fi
      folder=$folder/$name
      mkdir -p "$folder"
    done
  done
done
for path; do
  case $path in *container* | *crio* | *docker* | */pod*)
    for tree in $trees; do
      f=$tree$path
      [ ! -f "$f/memory.max" ] || echo 67108864 > "$f/memory.max"
      [ ! -f "$f/memory.limit_in_bytes" ] || echo 67108864 > "$f/memory.limit_in_bytes"
      [ ! -f "$f/cpu.max" ] || echo 20000 100000 > "$f/cpu.max"
      [ ! -f "$f/cpu.cfs_quota_us" ] || echo 20000 > "$f/cpu.cfs_quota_us"
      [ ! -f "$f/pids.max" ] || echo 100 > "$f/pids.max"
    done
    ;;
  esac
  sh -c "for tree in $(echo $trees); do echo \$\$ > \$tree$path/cgroup.procs; done
    dd if=/dev/zero of=/tmp/file$$ bs=1M count=4 oflag=sync; i=0; while [ \$i -lt 5000 ]; do i=\$((i+1)); done; echo > /tmp/done; exec sleep 1000" \
    > /dev/null 2>&1 &
  while [ ! -f /tmp/done ]; do usleep 10000; done
  rm /tmp/done
done
sleep 3
for tree in $trees; do
  (cd "$tree" && for path; do
    p=
    echo .
    for name in $(echo "$path" | tr / ' '); do p=$p/$name; echo ".$p"; done
  done | sort -u | while read -r folder; do
    for f in cgroup.controllers cgroup.procs memory.current memory.max memory.stat memory.events memory.events.local cpu.stat cpu.max \
      io.stat pids.current pids.max pids.events memory.pressure cpu.pressure io.pressure memory.usage_in_bytes memory.limit_in_bytes \
      memory.failcnt memory.memsw.failcnt memory.oom_control cpuacct.stat cpu.cfs_quota_us cpu.cfs_period_us \
      blkio.throttle.io_service_bytes_recursive blkio.throttle.io_serviced_recursive; do
      case $folder:$f in
      .:cgroup.*) ;;
      .:* | *:cgroup.*) continue ;; # of the root only what is mounted is looked at
      esac
      if [ -f "$folder/$f" ]; then
        echo "-- $(echo "$tree/$folder/$f" | sed 's#/\./#/#g; s#^\./##') --"
        case $f in cgroup.procs) ;; *) cat "$folder/$f" ;; esac
      fi
    done
  done)
done
