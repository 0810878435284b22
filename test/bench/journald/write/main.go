// Command write prints journal entries in the Journal Export Format, like those of a Kubernetes node: kubelet's, containerd's,
// and some of the kernel. At a rate it gives them the time at which it prints them.
//
//	write [-rate ENTRIES_A_SECOND] ENTRIES
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

const id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"

func main() {
	rate := flag.Int("rate", 0, "entries a second; 0 is as fast as can be")
	flag.Parse()
	n, err := strconv.Atoi(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: write [-rate ENTRIES_A_SECOND] ENTRIES")
		os.Exit(2)
	}
	random := rand.New(rand.NewPCG(1, 1))
	w := bufio.NewWriter(os.Stdout)
	defer func() { _ = w.Flush() }()
	t := time.Date(2025, 11, 22, 8, 0, 0, 0, time.UTC)
	begin := time.Now()
	for i := range n {
		t = t.Add(time.Duration(50+random.IntN(2950)) * time.Microsecond)
		if *rate > 0 {
			due := begin.Add(time.Duration(i) * time.Second / time.Duration(*rate))
			if wait := time.Until(due); wait > 5*time.Millisecond {
				_ = w.Flush()
				time.Sleep(wait)
			}
			t = time.Now()
		}
		entry(w, random, i, t.UnixMicro())
	}
}

func entry(w *bufio.Writer, random *rand.Rand, i int, usec int64) {
	_, _ = fmt.Fprintf(w, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\n_MACHINE_ID=%s\n_HOSTNAME=node1\n",
		usec, usec-1_763_000_000_000_000, id, id)
	number := random.IntN(10_000_000)
	if i%1000 == 0 {
		_, _ = fmt.Fprintf(w, "_TRANSPORT=kernel\nPRIORITY=3\nSYSLOG_FACILITY=0\nSYSLOG_IDENTIFIER=kernel\n"+
			"MESSAGE=Memory cgroup out of memory: Killed process %d (java) total-vm:8388608kB, anon-rss:2097152kB\n\n", number)
		return
	}
	name := [...]string{"kubelet", "containerd"}[i%2]
	message := [...]string{
		`E1122 kuberuntime_manager.go:1256] "Unhandled Error" err="container %d start failed in pod web-%d: CrashLoopBackOff"`,
		`time="2025-11-22T10:00:00Z" level=info msg="StartContainer for %d returns successfully" pod=%d`,
		`I1122 10:00:%d kubelet_node_status.go] node %d ready`,
	}[i%3]
	_, _ = fmt.Fprintf(w, "_TRANSPORT=stdout\nPRIORITY=%d\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=%[2]s\n_UID=0\n_GID=0\n_PID=%[3]d\n_COMM=%[2]s\n"+
		"_EXE=/usr/bin/%[2]s\n_CMDLINE=/usr/bin/%[2]s --config=/etc/%[2]s.yaml\n_CAP_EFFECTIVE=1ffffffffff\n"+
		"_SYSTEMD_CGROUP=/system.slice/%[2]s.service\n_SYSTEMD_UNIT=%[2]s.service\n_SYSTEMD_SLICE=system.slice\n"+
		"_SYSTEMD_INVOCATION_ID=%[4]s\n_STREAM_ID=%[4]s\nMESSAGE=%[5]s\n\n",
		6-3*(i%7/6), name, 700+i%2, id, fmt.Sprintf(message, number, i))
}
