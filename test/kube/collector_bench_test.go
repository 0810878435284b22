//go:build linux

package kube

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// perSecond is how many objects change in a second, and measured for how long the collector is looked at.
	perSecond = 50
	measured  = time.Minute
)

// BenchmarkCollector measures what the collector of the cluster costs while 50 of 5,000 pods change in a second: CPU over a minute, and the most
// memory it had since its start, the first list included. `make bench-check` runs it.
func BenchmarkCollector(b *testing.B) {
	cluster.fill(b)
	cluster.deploy(b, "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
	c := newWatcher(b, cluster.as(b, "tapio", "tapio-cluster"))
	c.start(b)
	require.EventuallyWithT(b, func(t *assert.CollectT) {
		got := map[string]int{}
		for _, f := range c.report(t).Findings {
			if f.Entity.Namespace == "many" {
				got[f.Pattern] = 1 + len(f.Effects)
			}
		}
		for _, d := range ill {
			assert.GreaterOrEqual(t, got[d.pattern], d.pods, "%s: %v", d.pattern, got)
		}
	}, 3*time.Minute, time.Second)

	list, err := cluster.API.Resource(pods).Namespace("many").List(b.Context(), metav1.ListOptions{})
	require.NoError(b, err)
	changed := 0
	// A busy API server may take longer for one than comes between two.
	change := func(d time.Duration) {
		work := make(chan int)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for i := range work {
					patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"changed":"%d"}}}`, i)
					name := list.Items[i%len(list.Items)].GetName()
					if _, err := cluster.API.Resource(pods).Namespace("many").Patch(b.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
			work <- changed
			changed++
		}
		close(work)
		group.Wait()
	}
	change(10 * time.Second)
	for b.Loop() {
		before, began, from := ticks(b, c.PID()), time.Now(), changed
		change(measured)
		seconds := time.Since(began).Seconds()
		b.ReportMetric(float64(ticks(b, c.PID())-before)/100/seconds*100, "%-of-a-core")
		b.ReportMetric(float64(changed-from)/seconds, "changes/s")
		b.ReportMetric(peak(c.PID()), "MiB-peak")
	}
}

// ticks is the CPU time that a process has had (1/100 s, as the kernel tells it).
func ticks(b *testing.B, pid int) int {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return user + system
}
