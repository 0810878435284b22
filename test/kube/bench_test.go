package kube

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/your-org/tapio/internal/finding"
	look "github.com/your-org/tapio/internal/kube"
)

// BenchmarkCheck runs `tapio check -A` and, by turns with it, `kubectl get` of the same kinds as a table, on a cluster of 5,000 pods,
// 1,000 workloads and 10,000 events: how many times as long it takes, and how much memory. All that is broken has to be found, and
// folded into as many findings as there are causes. `make bench-check` runs it.
//
// Other programs that look for what is broken are run as well, where TAPIO_BENCH_PEERS names a folder that has them: popeye, k8sgpt.
func BenchmarkCheck(b *testing.B) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		b.Skip("kubectl is missing: there is nothing to compare with")
	}
	tapio := os.Getenv("TAPIO_BENCH_BINARY")
	if tapio == "" {
		b.Skip("TAPIO_BENCH_BINARY names no tapio: run make bench-check")
	}
	cluster.fill(b)
	home := b.TempDir()
	var kinds []string
	for _, k := range look.Kinds() {
		kinds = append(kinds, strings.TrimSuffix(k.Resource+"."+k.Version+"."+k.Group, "."))
		if k.Group == "" {
			kinds[len(kinds)-1] = k.Resource
		}
	}
	table := []string{kubectl, "get", "-A", strings.Join(kinds, ",")}
	costs(b, home, table...) // it asks what there is, once
	var ours, theirs cost
	for b.Loop() {
		c := costs(b, home, tapio, "check", "-A", "-o", "json", "--request-timeout", "60s", "--context", "test")
		found(b, c.out)
		ours.add(c)
		theirs.add(costs(b, home, table...))
	}
	n := float64(b.N)
	b.ReportMetric(ours.wall.Seconds()/n, "s/check")
	b.ReportMetric(theirs.wall.Seconds()/n, "s/kubectl-get")
	b.ReportMetric(ours.wall.Seconds()/theirs.wall.Seconds(), "times-kubectl")
	b.ReportMetric(ours.peak, "MiB-peak")
	b.ReportMetric(ours.cpu.Seconds()/n, "CPU-s/check")
	b.ReportMetric(theirs.cpu.Seconds()/n, "CPU-s/kubectl-get")
	for name, args := range map[string][]string{"popeye": {"-A", "--force-exit-zero"}, "k8sgpt": {"analyze"}} {
		program := filepath.Join(os.Getenv("TAPIO_BENCH_PEERS"), name)
		if _, err := os.Stat(program); os.Getenv("TAPIO_BENCH_PEERS") == "" || err != nil {
			continue
		}
		c := costs(b, home, append([]string{program}, args...)...)
		b.ReportMetric(c.wall.Seconds(), "s/"+name)
		b.ReportMetric(c.peak, "MiB-peak-"+name)
	}
}

// BenchmarkWatch watches the same cluster for 20 s, in which 50 pods a second change: what that costs.
func BenchmarkWatch(b *testing.B) {
	tapio := os.Getenv("TAPIO_BENCH_BINARY")
	if tapio == "" {
		b.Skip("TAPIO_BENCH_BINARY names no tapio: run make bench-check")
	}
	cluster.fill(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, tapio, "check", "-A", "--watch", "-o", "json", "--request-timeout", "60s", "--context", "test")
	cmd.Env = []string{"KUBECONFIG=" + cluster.Kubeconfig}
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	defer func() { cancel(); _ = cmd.Wait() }()
	_, err = bufio.NewReader(out).ReadBytes('\n') // it has looked at everything once
	require.NoError(b, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for b.Loop() {
		before, began := cpu(b, cmd.Process.Pid), time.Now()
		for tick, i := time.NewTicker(time.Second/50), 0; time.Since(began) < 20*time.Second; i++ {
			<-tick.C
			patch := fmt.Sprintf(`{"metadata":{"annotations":{"changed":%q}}}`, time.Now())
			_, err := cluster.API.Resource(pods).Namespace("many").Patch(ctx, fmt.Sprintf("app-%d-7d4f9c-0", i%manyWorkloads), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(b, err)
		}
		b.ReportMetric((cpu(b, cmd.Process.Pid)-before).Seconds()/time.Since(began).Seconds(), "cores")
	}
	b.ReportMetric(peak(cmd.Process.Pid), "MiB-peak")
}

// cpu is how much CPU a process has used.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// cost is what a run took.
type cost struct {
	wall, cpu time.Duration
	peak      float64 // MiB
	out       []byte
}

func (c *cost) add(other cost) {
	c.wall += other.wall
	c.cpu += other.cpu
	c.peak = max(c.peak, other.peak)
}

// costs runs a program on the cluster.
func costs(b *testing.B, home string, args ...string) cost {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	cmd.Env = []string{"KUBECONFIG=" + cluster.Kubeconfig, "HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	require.NoError(b, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c := cost{}
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case err := <-ended:
			tick.Stop()
			c.wall, c.out = time.Since(began), out.Bytes()
			c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 {
				b.Fatalf("%v: %v\n%s", args, err, errOut.Bytes())
			}
			return c
		case <-tick.C:
			c.peak = max(c.peak, peak(cmd.Process.Pid))
		}
	}
}

// peak is the most memory that a process had so far (MiB). The kernel's account of an ended process would have this one's as well.
func peak(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(fields[0], 64)
	return kib / 1024
}

// found holds what was found against what is broken.
func found(b *testing.B, out []byte) {
	b.Helper()
	var r finding.Report
	require.NoError(b, json.Unmarshal(out, &r))
	got := map[string]int{}
	for _, f := range r.Findings {
		if f.Entity.Namespace == "many" {
			got[f.Pattern] = 1 + len(f.Effects)
		}
	}
	want := map[string]int{}
	for _, d := range ill {
		want[d.pattern] = d.pods
	}
	for pattern, pods := range want {
		require.GreaterOrEqual(b, got[pattern], pods, "%s: each of its pods is found, and folded into one finding: %v", pattern, got)
	}
	require.Len(b, got, len(want))
	require.Equal(b, manyPods+illPods(), r.Watched["Pod"])
	require.Equal(b, manyPods, r.Summary.Healthy)
}
