package correlation_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// random is something that may be observed, of all that patterns look for; often of what belongs together.
func random(r *rand.Rand, all []*pattern.Pattern, now time.Time) signal.Signal {
	p := all[r.IntN(len(all))]
	if r.IntN(3) == 0 {
		p = all[slices.IndexFunc(all, func(p *pattern.Pattern) bool { return p.Name == "oom-killed" })]
	}
	c := p.Signals[r.IntN(len(p.Signals))]
	return signal.Signal{Time: now.Add(-time.Duration(r.IntN(30)) * time.Second), Kind: c.Any[r.IntN(len(c.Any))], Value: float64(r.IntN(5)), Text: "it happened",
		Shape:      []signal.Shape{signal.Event, signal.Event, signal.Gauge, signal.Over}[r.IntN(4)],
		Attributes: map[string]string{"peer": "10.0.0.1:80", "count": fmt.Sprint(r.IntN(5)), "attempts": "5", "comm": "app", "main": "true", "name": "db", "server": "10.0.0.2"}}
}

// What was found about an entity is not looked at anew as long as nothing can have changed, and nobody notices: an engine that never
// rests tells the same. (Of predictions the time left is told as of when it was written, which is no longer the same.)
func TestRestIsNotNoticed(t *testing.T) {
	s := settings(t)
	s.Patterns = slices.DeleteFunc(slices.Clone(s.Patterns), func(p *pattern.Pattern) bool { return p.Kind == finding.Prediction })
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			rested, restless := newWorld(t, s), newWorld(t, s)
			var entities []entity.Entity
			for i := range 6 {
				entities = append(entities, rested.cgroup(fmt.Sprintf("/pod%d/c%d", i/2, i)), entity.Entity{ID: entity.ID(fmt.Sprint("pod:", i)), Kind: entity.Pod, Namespace: "shop", Name: fmt.Sprint(i)})
			}
			for second := range 900 {
				for range r.IntN(2) * r.IntN(3) {
					e, sig := entities[r.IntN(len(entities))], random(r, s.Patterns, rested.now)
					rested.observe(e, sig)
					restless.observe(e, sig)
				}
				restless.engine.Rouse()
				for _, told := range [][2][]finding.Finding{{restless.look(), rested.look()}, {restless.engine.Findings(), rested.engine.Findings()}} {
					require.Len(t, told[1], len(told[0]), "after %d s", second)
					for i := range told[0] {
						require.Equal(t, told[0][i], told[1][i], "after %d s", second)
					}
				}
				rested.now, restless.now = rested.now.Add(time.Second), restless.now.Add(time.Second)
			}
			require.NotEmpty(t, rested.engine.Findings())
		})
	}
}
