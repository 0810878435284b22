package objects

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// Usage is what a container used of late, as metrics.k8s.io tells it.
type Usage struct {
	At time.Time
	// CPU is in cores, Memory is the working set (By): with the page cache that is in use.
	CPU, Memory float64
}

const (
	// busy is the share of its CPU limit from which a container is held back by it.
	busy = 0.9
	// maxHungry bounds the pods that are named as using the most memory of a node.
	maxHungry = 3
)

// Used takes in what a container used.
func (c *Cluster) Used(namespace, pod, container string, u Usage) {
	k := key{namespace, pod}
	if c.usage[k] == nil {
		if len(c.usage) >= maxObjects {
			c.dropped++
			return
		}
		c.usage[k] = map[string]Usage{}
	}
	c.usage[k][container] = u
}

// uses tells what a container in trouble uses of its limits: it may be why.
func (t *telling) uses(pod object, e entity.Entity, status, spec object) {
	u, known := t.usage[pod.key()][e.Container]
	if !known || status.yes("ready") && status.num(0, "restartCount") == 0 {
		return
	}
	if limit := quantity(spec, "resources", "limits", "memory"); limit > 0 {
		t.visit(signal.Batch{Entity: e, Signals: []signal.Signal{{Time: u.At, Kind: signal.MemoryUsed, Layer: finding.LayerKubernetes, Entity: e.ID,
			Shape: signal.Gauge, Value: u.Memory, Unit: "By", Doubt: 1}}})
	}
	if limit := quantity(spec, "resources", "limits", "cpu"); limit > 0 && u.CPU >= busy*limit {
		t.reading(e, signal.CPULimitShare, u.CPU/limit, "1", time.Time{}, fmt.Sprintf("it uses %.0f%% of its CPU limit of %s", 100*u.CPU/limit, amount("cpu", limit)),
			map[string]string{"limit": amount("cpu", limit)})
	}
}

// hungry names the pods of a node that use the most memory beyond what they requested: those that the kubelet evicts first.
func (t *telling) hungry(node string) string {
	type eater struct {
		name        string
		used, asked float64
	}
	var all []eater
	for k, containers := range t.usage {
		pod, known := t.kinds["pods"][k]
		if !known || pod.str("spec", "nodeName") != node {
			continue
		}
		e := eater{name: k.namespace + "/" + k.name}
		for _, u := range containers {
			e.used += u.Memory
		}
		e.asked = requested(pod, "memory")
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b eater) int {
		return cmp.Or(cmp.Compare(b.used-b.asked, a.used-a.asked), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, e := range all[:min(len(all), maxHungry)] {
		names = append(names, fmt.Sprintf("%s (%s, requested %s)", e.name, finding.FormatBytes(e.used), finding.FormatBytes(e.asked)))
	}
	return join(names)
}
