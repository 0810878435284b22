package correlation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// silentAfter is how long a layer may say nothing before its coverage is degraded.
	silentAfter = time.Minute
	// maxParts bounds the parts of layers that sources tell the coverage of; more are dropped and counted.
	maxParts = 1024
)

// layers are those that coverage speaks of, and what brings each.
var layers = []struct {
	layer finding.Layer
	from  string
}{
	{finding.LayerCgroup, "the cgroup receiver"},
	{finding.LayerHost, "the hostmetrics receiver"},
	{finding.LayerEBPF, "the ebpf receiver"},
	{finding.LayerJournald, "the journald receiver"},
	{finding.LayerSystemd, "the systemd receiver"},
	{finding.LayerRuntime, "the container runtime receiver"},
	{finding.LayerKubernetes, "the Kubernetes receivers"},
}

// spoken says whether coverage speaks of a layer.
func spoken(of finding.Layer) bool {
	for _, l := range layers {
		if l.layer == of {
			return true
		}
	}
	return false
}

// part is a part of a layer on a node, as its source calls it.
type part struct {
	layer      finding.Layer
	node, name string
}

// cover is what a source last said of how well it sees a part.
type cover struct {
	at time.Time
	finding.Coverage
}

// cover takes in what sources say of how well they see, and returns the signals that are left.
func (e *Engine) cover(now time.Time, b signal.Batch) []signal.Signal {
	says := func(s signal.Signal) bool { return s.Kind == signal.Coverage }
	if !slices.ContainsFunc(b.Signals, says) {
		return b.Signals // as nearly all are
	}
	for _, s := range b.Signals {
		if !says(s) {
			continue
		}
		e.stats.Signals++
		p := part{s.Layer, b.Entity.Node, s.Attributes["part"]}
		if _, known := e.covers[p]; !known && len(e.covers) >= maxParts || !spoken(s.Layer) {
			e.stats.SignalsDropped++
			continue
		}
		e.covers[p] = cover{now, finding.Coverage{Layer: s.Layer, State: finding.CoverageState(s.Attributes["state"]), Reason: s.Text}}
		if now.After(e.layers[s.Layer]) {
			e.layers[s.Layer] = now
		}
	}
	return slices.DeleteFunc(slices.Clone(b.Signals), says)
}

// coverage says how well each layer is seen: by what its sources say of themselves, and by whether anything comes from them.
func (e *Engine) coverage(now time.Time) []finding.Coverage {
	maps.DeleteFunc(e.covers, func(_ part, c cover) bool { return now.Sub(c.at) > silentAfter })
	var all []finding.Coverage
	for _, l := range layers {
		c := finding.Coverage{Layer: l.layer, State: finding.CoverageOK}
		switch at, seen := e.layers[l.layer]; {
		case !seen:
			c.State, c.Reason = finding.CoverageAbsent, "nothing received from "+l.from
		case now.Sub(at) > silentAfter:
			c.State, c.Reason = finding.CoverageDegraded, fmt.Sprintf("nothing received from %s since %s", l.from, at.UTC().Format(time.TimeOnly))
		default:
			e.parts(&c)
		}
		all = append(all, c)
	}
	return all
}

// parts makes a layer's coverage that of its parts: absent when all of them are, degraded when some are.
func (e *Engine) parts(c *finding.Coverage) {
	var lacking []part
	nodes, all, absent := map[string]bool{}, 0, 0
	for p, said := range e.covers {
		if p.layer != c.Layer {
			continue
		}
		all++
		nodes[p.node] = true
		if said.State != finding.CoverageOK {
			lacking = append(lacking, p)
		}
		if said.State == finding.CoverageAbsent {
			absent++
		}
	}
	if len(lacking) == 0 {
		return
	}
	c.State = finding.CoverageDegraded
	if absent == all {
		c.State = finding.CoverageAbsent
	}
	slices.SortFunc(lacking, func(a, b part) int { return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.name, b.name)) })
	// Parts often lack the same thing.
	var reasons []string
	names := map[string][]string{}
	for _, p := range lacking {
		reason, name := e.covers[p].Reason, p.name
		if len(nodes) > 1 {
			name = p.node + "'s " + name
		}
		if names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], name)
	}
	var said []string
	for _, reason := range reasons {
		said = append(said, strings.Join(names[reason], ", ")+": "+reason)
	}
	c.Reason = strings.Join(said, "; ")
}
