//go:build linux

package attribution

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkPrograms measures what each of the programs takes that are at a program's allocator while it is attributed, by the kernel's own
// measure: ns a run, and how often it ran in a second.
func BenchmarkPrograms(b *testing.B) {
	for _, c := range []struct {
		name string
		p    *program
		args []string
	}{
		{"Go", goleak, []string{"-leak", "count"}},
		{"C", cleak, []string{"count"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			of := startCounting(b, c.p.build(b), c.args...)
			stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
			require.NoError(b, err)
			defer stats.Close()
			runs, took := map[string]uint64{}, map[string]time.Duration{}
			var looked time.Duration
			for b.Loop() {
				done := make(chan error, 1)
				began := time.Now()
				go func() {
					_, err := Run(b.Context(), []int{of.cmd.Process.Pid}, Options{Window: 10 * time.Second, Duty: Duty})
					done <- err
				}()
				last := map[ebpf.ProgramID]ran{}
				for err := error(nil); ; {
					select {
					case err = <-done:
					case <-time.After(100 * time.Millisecond): // they are gone when it is done
						observe(last)
						continue
					}
					require.NoError(b, err)
					break
				}
				looked += time.Since(began)
				for _, r := range last {
					runs[r.name] += r.runs
					took[r.name] += r.took
				}
			}
			for name, n := range runs {
				b.ReportMetric(float64(took[name].Nanoseconds())/float64(n), name+"-ns")
				b.ReportMetric(float64(n)/looked.Seconds(), name+"/s")
			}
		})
	}
}

// ran is how often a program ran, and how long in all.
type ran struct {
	name string
	runs uint64
	took time.Duration
}

// observe updates what is known of those that this process holds: others run programs on this machine, too.
func observe(last map[ebpf.ProgramID]ran) {
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, name := range infos {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // closed meanwhile
		}
		var id ebpf.ProgramID
		_, after, ok := strings.Cut(string(b), "prog_id:\t")
		if _, err := fmt.Sscan(after, &id); !ok || err != nil {
			continue
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone
		}
		info, err := p.Info()
		stats, statsErr := p.Stats()
		if errors.Join(err, statsErr) == nil && stats.RunCount > 0 {
			last[id] = ran{info.Name, stats.RunCount, stats.Runtime}
		}
		p.Close()
	}
}
