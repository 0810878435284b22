package extract

import (
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// evictionThreshold is the kubelet's default for memory.available: below it, it evicts pods (By). Kubernetes documentation,
// "Node-pressure Eviction", hard eviction thresholds.
const evictionThreshold = 100 << 20

// sum is a signal that some source tells in parts: constant + the kinds in plus − those in minus. It is made where all of its
// parts are there.
type sum struct {
	kind        string
	plus, minus []string
	constant    float64
}

// sums are the signals that are made of parts. A file system's reserved blocks are in no sum: what only root may take does not
// help those who run out.
var sums = []sum{
	{kind: signal.FilesystemLimit, plus: []string{signal.FilesystemUsed, filesystemFree}},
	{kind: signal.FilesystemUsed, plus: []string{volumeCapacity}, minus: []string{filesystemFree}},
	{kind: signal.FilesystemLimit, plus: []string{volumeCapacity}},
	{kind: signal.InodesLimit, plus: []string{signal.InodesUsed, inodesFree}},
	{kind: signal.NodeMemoryUsed, plus: []string{nodeTotal}, minus: []string{nodeAvailable}},
	{kind: signal.NodeMemoryLimit, plus: []string{nodeTotal}},
	{kind: signal.NodeMemoryLimit, plus: []string{signal.NodeMemoryUsed, nodeEvictable}, constant: -evictionThreshold},
}

// addSums adds the sums whose parts are all there, and takes the parts out.
func addSums(b *signal.Batch) {
	var made []signal.Signal
	for _, sum := range sums {
		if s, ok := sum.of(b.Signals); ok {
			s.Entity = b.Entity.ID
			made = append(made, s)
		}
	}
	b.Signals = slices.DeleteFunc(b.Signals, func(s signal.Signal) bool { return strings.HasPrefix(s.Kind, "part.") })
	b.Signals = append(b.Signals, made...)
}

func (m sum) of(parts []signal.Signal) (signal.Signal, bool) {
	s := signal.Signal{Kind: m.kind, Layer: finding.LayerHost, Shape: signal.Gauge, Value: m.constant, Unit: units[m.kind]}
	add := func(kind string, sign float64) bool {
		i := slices.IndexFunc(parts, func(p signal.Signal) bool { return p.Kind == kind })
		if i < 0 {
			return false
		}
		s.Time, s.Layer = parts[i].Time, parts[i].Layer
		s.Value += sign * parts[i].Value
		return true
	}
	for _, kind := range m.plus {
		if !add(kind, 1) {
			return s, false
		}
	}
	for _, kind := range m.minus {
		if !add(kind, -1) {
			return s, false
		}
	}
	return s, s.Value >= 0
}
