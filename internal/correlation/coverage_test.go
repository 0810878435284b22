package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// A layer is seen as well as its parts are, by what their sources say of themselves; a source that falls silent is told as silent.
func TestCoverageByParts(t *testing.T) {
	const ok, degraded, absent = finding.CoverageOK, finding.CoverageDegraded, finding.CoverageAbsent
	type said struct {
		node, part string
		state      finding.CoverageState
		reason     string
	}
	for _, c := range []struct {
		name   string
		said   []said
		pass   time.Duration
		state  finding.CoverageState
		reason string
	}{
		{"all is well", []said{{"n1", "oom", ok, ""}, {"n1", "network", ok, ""}}, 0, ok, ""},
		{"a part lacks something", []said{{"n1", "oom", ok, ""}, {"n1", "network", absent, "too old"}}, 0, degraded, "network: too old"},
		{"a part is seen less well", []said{{"n1", "oom", ok, ""}, {"n1", "network", degraded, "no names"}}, 0, degraded, "network: no names"},
		{"all lack the same", []said{{"n1", "oom", absent, "no BTF"}, {"n1", "network", absent, "no BTF"}}, 0, absent, "network, oom: no BTF"},
		{"each lacks something else", []said{{"n1", "oom", absent, "no BTF"}, {"n1", "network", absent, "too old"}}, 0, absent, "network: too old; oom: no BTF"},
		{"of several nodes, which one", []said{{"n1", "oom", absent, "no BTF"}, {"n2", "oom", ok, ""}}, 0, degraded, "n1's oom: no BTF"},
		{"the latest word counts", []said{{"n1", "oom", absent, "no BTF"}, {"n1", "oom", ok, ""}}, 0, ok, ""},
		{"it fell silent", []said{{"n1", "oom", ok, ""}}, 2 * time.Minute, degraded, "nothing received from the ebpf receiver since 00:00:00"},
		{"nothing was said", nil, 0, absent, "nothing received from the ebpf receiver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, settings(t))
			for _, s := range c.said {
				n, known := entity.New(attributes{entity.AttrHost: s.node}, "")
				require.True(t, known)
				w.engine.Observe(w.now, signal.Batch{Entity: n, Signals: []signal.Signal{{Time: w.now, Kind: signal.Coverage, Layer: finding.LayerEBPF,
					Entity: n.ID, Shape: signal.Gauge, Value: s.state.Gauge(), Text: s.reason, Attributes: map[string]string{"part": s.part, "state": string(s.state)}}}})
			}
			w.pass(c.pass, nil)
			for _, got := range w.engine.Status(w.now).Coverage {
				if got.Layer == finding.LayerEBPF {
					assert.Equal(t, finding.Coverage{Layer: finding.LayerEBPF, State: c.state, Reason: c.reason}, got)
				}
			}
			assert.Zero(t, w.engine.Stats().Entities, "it is about no entity")
		})
	}
}
