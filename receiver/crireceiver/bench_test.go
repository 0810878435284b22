//go:build linux

package crireceiver

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// BenchmarkPoll is what one look at a runtime costs that sends no events: three lists, taken in. The CPU time is that of both ends,
// since the runtime is the test's own double; a real one does the same work for its half.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n, " containers"), func(b *testing.B) {
			d := &double{name: "cri-o", version: "1.33.0"}
			for i := range n {
				s := state(fmt.Sprintf("%064d", i), "api", 0, isRunning)
				s.Labels[labelContainer] = "api"
				d.containers = append(d.containers, s)
			}
			r, err := connect(b.Context(), d.serve(b))
			require.NoError(b, err)
			defer r.close()
			w := newWorld(b, 2*n)
			look := func() {
				inv, err := r.list(b.Context())
				require.NoError(b, err)
				require.NoError(b, w.sync(b.Context(), inv, func(context.Context, string) (*cri.ContainerStatus, error) { return nil, nil }))
			}
			look()
			before, looks := cpu(b), 0
			for b.Loop() {
				look()
				looks++
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(looks), "cpu-µs/op")
		})
	}
}

// cpu is the CPU time of the process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
