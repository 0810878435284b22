//go:build linux

package ebpfreceiver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/test/harness"
)

const workloadVariable = "TAPIO_TEST_WORKLOAD"

// workload is this test binary run again, in a cgroup of its own, doing as it is told.
func workload(t *testing.T, c *harness.Cgroup, words ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workloadVariable+"="+strings.Join(append([]string{c.Folder}, words...), " "), "GOGC=off", "GORACE=exitcode=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// serveWorkload is what this binary does, and all of it, where it is started as the workload of a test.
func serveWorkload() {
	words := strings.Fields(os.Getenv(workloadVariable))
	if len(words) == 0 {
		return
	}
	if words[1] == "coverage" {
		if err := printCoverage(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		os.Exit(0)
	}
	if err := os.WriteFile(filepath.Join(words[0], "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	switch words[1] {
	case "hold": // BYTES, and end
		n, err := strconv.Atoi(words[2])
		if err != nil {
			os.Exit(99)
		}
		b := make([]byte, n)
		for i := 0; i < n; i += 4096 {
			b[i] = 1
		}
		if b[n/2/4096*4096] != 1 {
			os.Exit(99)
		}
	case "wait": // to be killed
		select {}
	}
	os.Exit(0)
}
