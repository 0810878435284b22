package correlationprocessor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// lookEvery is how often the objects are looked at while they change, lookLeast how often while they do not: some of what they
	// tell is a matter of time alone.
	lookEvery = 2 * time.Second
	// leisure is how many times as long as the last look took at least passes before the next: of a large cluster, it may take a
	// fortieth of a core.
	leisure   = 40
	lookLeast = 15 * time.Second
	// patience is how often they are looked at while some of them lag behind the others, which may be soon over. It is less than
	// readings count.
	patience = 45 * time.Second
	// silentStates is how long the receiver may tell nothing of how well it sees.
	silentStates = 2 * time.Minute
	// maxResources bounds the resources whose state is kept, maxReasons those that are named.
	maxResources = 100
	maxReasons   = 3
)

// cluster is the view of a Kubernetes cluster that records of its objects make up. It is kept as long as the process runs: each
// record changes it, and it is looked at as a whole now and then. It is safe for concurrent use.
type cluster struct {
	mu     sync.Mutex
	view   *objects.Cluster // nil before the first record
	states map[string]resourceState
	// changed says that the view is not what was looked at last, at looked; linked, that links and spaces are of the view.
	changed bool
	looked  time.Time
	took    time.Duration
	links   causes.Links
	spaces  map[causes.Ref][]string
	linked  bool
	// held are the states that were told last; what is not told any more is over.
	held map[held]entity.Entity
	// places are where containers are, by their id, as of placed.
	places map[string]entity.Entity
	placed time.Time
}

// held is a state of an entity.
type held struct {
	id   entity.ID
	kind string
}

// resourceState is how well a resource is seen, as receiver/kubernetesreceiver tells it.
type resourceState struct {
	state, reason string
	heard         time.Time
	// complete says that what was not told is not there; looked, that it was so when the objects were looked at last.
	complete, looked bool
}

// take takes in records of objects, and of how well they are seen. Other records are passed over.
func (c *cluster) take(ld plog.Logs, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				resource, ok := r.Attributes().Get("k8s.resource.name")
				if !ok {
					continue
				}
				if c.view == nil {
					c.view, c.states = objects.New(), map[string]resourceState{}
				}
				if r.EventName() == "kubernetes.resource.status" {
					c.state(resource.AsString(), r, now)
				} else if c.view.Record(resource.AsString(), r) {
					c.changed = true
				}
			}
		}
	}
}

func (c *cluster) state(resource string, r plog.LogRecord, now time.Time) {
	if _, known := c.states[resource]; !known && len(c.states) >= maxResources {
		return
	}
	text := func(name string) string {
		if v, ok := r.Attributes().Get(name); ok {
			return v.AsString()
		}
		return ""
	}
	complete := text("kubernetes.resource.complete") == "true"
	c.states[resource] = resourceState{text("kubernetes.resource.state"), text("kubernetes.resource.reason"), now, complete, c.states[resource].looked}
	if complete {
		c.view.Listed(resource)
	} else {
		c.view.Unlisted(resource)
	}
	c.changed = true
}

// often is how often to look now. When a resource lags behind, as each does for a moment after the API server was away, it is not
// known for now what its objects lack: a state that depends on that would be over, and begin anew when the resource is complete again.
func (c *cluster) often() time.Duration {
	for _, s := range c.states {
		if s.looked && !s.complete {
			return patience
		}
	}
	return min(max(lookEvery, leisure*c.took), lookLeast)
}

// look lets the engine know what the objects tell, when it is time to.
func (c *cluster) look(now time.Time, engine *correlation.Engine) {
	first, all := c.tell(now)
	if first {
		engine.Relate(c.relations)
	}
	for _, b := range all {
		engine.Observe(now, b)
	}
}

// tell returns what the objects tell, and whether it is the first time. The engine is not called here: it asks for relations while
// it is locked itself.
func (c *cluster) tell(now time.Time) (first bool, all []signal.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := now.Sub(c.looked)
	if c.view == nil || since < c.often() || !c.changed && since < lookLeast {
		return false, nil
	}
	began := time.Now()
	defer func() { c.took = time.Since(began) }()
	first = c.looked.IsZero()
	c.looked, c.changed, c.linked = now, false, false
	for resource, s := range c.states {
		s.looked = s.complete
		c.states[resource] = s
	}
	c.view.Expire(now)
	before := c.held
	c.held = map[held]entity.Entity{}
	c.view.Signals(now, func(b signal.Batch) {
		all = append(all, b)
		for _, s := range b.Signals {
			if s.Shape == signal.Gauge {
				c.held[held{b.Entity.ID, s.Kind}] = b.Entity
			}
		}
	})
	for h, e := range before {
		if _, still := c.held[h]; !still {
			all = append(all, signal.Batch{Entity: e, Signals: []signal.Signal{{Time: now, Kind: h.kind, Layer: finding.LayerKubernetes, Entity: h.id,
				Shape: signal.Over}}})
		}
	}
	return first, all
}

// relations are what depends on what. The engine asks for them only when there are findings.
func (c *cluster) relations() causes.Links {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link()
	return c.links
}

func (c *cluster) link() {
	if !c.linked {
		c.links, c.spaces, c.linked = c.view.Links(), c.view.Spaces(), true
	}
}

// concern adds to a finding about what is in no namespace those that it matters to: who asks about one of these is told it.
func (c *cluster) concern(f finding.Finding) finding.Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view != nil && f.Entity.Namespace == "" {
		c.link()
		causes.Concern(&f, c.spaces[causes.Of(f.Entity)])
	}
	return f
}

// place finds the entity here that a finding of a node is about, by the ids of container and pod, and completes what the node did
// not know of it.
func (c *cluster) place(e finding.Entity, now time.Time) (finding.Entity, entity.ID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil || e.ContainerID == "" && e.UID == "" {
		return e, "", false
	}
	if c.places == nil || now.Sub(c.placed) >= lookEvery {
		c.places, c.placed = c.view.Places(), now
	}
	ids := []string{e.ContainerID}
	if e.Container != "" {
		ids = append(ids, e.UID+"/"+e.Container)
	} else if e.Kind == string(entity.Pod) {
		ids = append(ids, e.UID)
	}
	for _, id := range ids {
		if at, ok := c.places[id]; ok && id != "" {
			node, container := e.Node, e.ContainerID
			e = at.Finding()
			e.ContainerID = container
			if e.Node == "" {
				e.Node = node
			}
			return e, at.ID, true
		}
	}
	return e, "", false
}

// describe adds to a status how well the cluster's objects are seen, how many pods there are, and how many deployments have what
// they want.
func (c *cluster) describe(st *finding.Status, affected []finding.Entity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return
	}
	for i := range st.Coverage {
		if st.Coverage[i].Layer == finding.LayerKubernetes {
			st.Coverage[i] = c.coverage(now)
		}
	}
	counts := c.view.Counts(func(string, string, string) bool { return true })
	unwell := map[string]bool{}
	for _, e := range affected {
		if (e.Kind == string(entity.Container) || e.Kind == string(entity.Pod)) && c.view.Alive(e.Namespace, e.Name) {
			unwell[e.Namespace+"/"+e.Name] = true
		}
	}
	// Those that findings are about are counted by the engine already.
	st.Watched[string(entity.Pod)] += max(counts.Pods-len(unwell), 0)
	st.Ready = map[string]finding.Ready{"Deployment": {Available: counts.Available, Total: counts.Deployments}}
}

// coverage says how well the objects are seen.
func (c *cluster) coverage(now time.Time) finding.Coverage {
	out := finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageOK}
	reasons := map[string]bool{}
	standby := 0
	for _, resource := range slices.Sorted(maps.Keys(c.states)) {
		s := c.states[resource]
		switch {
		case now.Sub(s.heard) > silentStates:
			reasons["the Kubernetes receiver has been silent since "+s.heard.UTC().Format(time.TimeOnly)] = true
		case s.state == "standby":
			standby++
			reasons[s.reason] = true
		case s.state == "blind", s.state == "waiting", s.state == "watched" && s.reason != "":
			reasons[s.reason] = true
		}
	}
	if n := c.view.Dropped(); n > 0 {
		reasons[fmt.Sprintf("%d objects and events are more than can be held", n)] = true
	}
	if len(reasons) == 0 {
		return out
	}
	if out.State = finding.CoverageDegraded; standby == len(c.states) && standby > 0 {
		out.State = finding.CoverageAbsent
	}
	all := slices.Sorted(maps.Keys(reasons))
	out.Reason = strings.Join(all[:min(len(all), maxReasons)], "; ")
	if more := len(all) - maxReasons; more > 0 {
		out.Reason += fmt.Sprintf("; and %d more reasons", more)
	}
	return out
}
