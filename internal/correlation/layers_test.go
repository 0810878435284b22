package correlation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// told is what one layer tells of a kill: about whom, and when it happened after the kernel chose its victim.
type told struct {
	about entity.Entity
	after time.Duration
	what  signal.Signal
}

// killOf is one OOM kill of a container as each layer of a node tells it, in the shape that its extractor gives it. The container
// ends with it, or lives on without the child that was killed; of that its runtime says nothing.
func killOf(t testing.TB, ends bool) (container, node entity.Entity, layers map[string][]told) {
	const id, cgroup = "0f32894de86e", "/kubepods.slice/kubepods-podu1.slice/cri-containerd-0f32894de86e.scope"
	named := func(a attributes) entity.Entity {
		a["host.name"] = "n1"
		e, ok := entity.New(a, "n1")
		require.True(t, ok)
		return e
	}
	node = named(attributes{})
	inCgroup := named(attributes{"container.id": id, "k8s.pod.uid": "u1", "cgroup.path": cgroup, "cgroup.version": "2"})
	scope := named(attributes{"container.id": id, "systemd.unit": "cri-containerd-" + id + ".scope"})
	container = named(attributes{"container.id": id, "k8s.pod.uid": "u1", "k8s.pod.name": "api-1", "k8s.namespace.name": "shop", "k8s.container.name": "api"})
	event := func(kind string, layer finding.Layer, text string, facts ...string) signal.Signal {
		s := signal.Signal{Kind: kind, Layer: layer, Value: 1, Text: text}
		for _, f := range facts {
			if s.Attributes == nil {
				s.Attributes = map[string]string{}
			}
			name, value, _ := strings.Cut(f, "=")
			s.Attributes[name] = value
		}
		return s
	}
	layers = map[string][]told{
		"tracepoint": {{inCgroup, 0, event(signal.KernelOOMKill, finding.LayerEBPF, "the kernel killed java (pid 77)", "pid=77", "comm=java", "scope=cgroup")}},
		"journal": {
			{inCgroup, 0, event(signal.KernelOOMContext, finding.LayerJournald, "", "pid=77", "limited="+cgroup)},
			{node, time.Millisecond, event(signal.KernelOOMKill, finding.LayerJournald, "the kernel killed java (pid 77)", "pid=77", "comm=java", "scope=cgroup")},
		},
		// The line before is often left out; then only the pid is known.
		"brief journal": {{node, time.Millisecond, event(signal.KernelOOMKill, finding.LayerJournald, "the kernel killed java (pid 77)", "pid=77", "comm=java", "scope=cgroup")}},
		"counter":       {{inCgroup, 20 * time.Millisecond, event(signal.OOMKill, finding.LayerCgroup, "")}},
		"systemd":       {{scope, 30 * time.Millisecond, event(signal.UnitOOMKill, finding.LayerJournald, "systemd saw it")}},
	}
	if ends {
		layers["runtime"] = []told{
			{container, 10 * time.Millisecond, event(signal.RuntimeOOMKill, finding.LayerRuntime, "the runtime was told")},
			{container, 10 * time.Millisecond, event(signal.RuntimeExited, finding.LayerRuntime, "it ended with exit code 137", "code=137", "reason=OOMKilled")},
		}
		layers["counter"] = append(layers["counter"], told{inCgroup, 200 * time.Millisecond, event(signal.Removed, finding.LayerCgroup, "")})
	}
	return container, node, layers
}

// live plays a kill: what each layer tells arrives late by some time; layers that are not in late are absent. Meanwhile the
// runtime tells every 30 s who the container is. It returns what is found at the end.
func live(t testing.TB, ends bool, late map[string]time.Duration, lasts time.Duration) (container entity.Entity, all []finding.Finding, at time.Time) {
	w := newWorld(t, settings(t))
	container, node, layers := killOf(t, ends)
	var counted entity.Entity
	for _, l := range layers["counter"] {
		counted = l.about
	}
	send := func(e entity.Entity, s signal.Signal) {
		s.Entity = e.ID
		w.engine.Observe(w.now, signal.Batch{Entity: e, Signals: []signal.Signal{s}})
	}
	at = start.Add(10*time.Second + 100*time.Millisecond)
	type arrival struct {
		told
		at time.Time
	}
	var arrivals []arrival
	for _, name := range slices.Sorted(maps.Keys(layers)) {
		delay, there := late[name]
		for _, l := range layers[name] {
			if there {
				arrivals = append(arrivals, arrival{l, at.Add(l.after + delay)})
			}
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
	w.pass(lasts, func(i int) {
		running := !ends || w.now.Before(at)
		if i%30 == 0 && running {
			send(container, signal.Signal{Time: w.now, Kind: signal.RuntimeRunning, Layer: finding.LayerRuntime, Shape: signal.Gauge, Value: 1})
		}
		if _, there := late["counter"]; there && running && i%5 == 0 {
			n := 0.0
			if w.now.After(at) {
				n = 1
			}
			send(counted, signal.Signal{Time: w.now, Kind: signal.OOMKill, Layer: finding.LayerCgroup, Shape: signal.Counter, Value: n})
			send(counted, signal.Signal{Time: w.now, Kind: signal.PIDsUsed, Layer: finding.LayerCgroup, Shape: signal.Gauge, Value: 5 - n})
		}
		send(node, signal.Signal{Time: w.now, Kind: signal.NodeMemoryUsed, Layer: finding.LayerHost, Shape: signal.Gauge, Value: mi})
		now := w.now
		for ; len(arrivals) > 0 && !arrivals[0].at.After(now); arrivals = arrivals[1:] {
			a := arrivals[0]
			w.now = a.at
			s := a.what
			s.Time = at.Add(a.after)
			send(a.about, s)
		}
		w.now = now
	})
	return container, w.engine.Findings(), at
}

// One kill is one finding, about the container and under its pod's name, whatever layers there are and whenever each tells it.
func TestOneKillOfManyLayers(t *testing.T) {
	all := map[bool][]string{true: {"counter", "journal", "runtime", "systemd", "tracepoint"}, false: {"counter", "journal", "systemd", "tracepoint"}}
	kinds := map[string]string{"brief journal": "journald kernel.oom_kill", "counter": "cgroup cgroup.oom_kill", "journal": "journald kernel.oom_kill", "runtime": "runtime runtime.oom_kill",
		"systemd": "journald unit.oom_kill", "tracepoint": "ebpf kernel.oom_kill"}
	type scenario struct {
		name string
		ends bool
		late map[string]time.Duration
	}
	var scenarios []scenario
	for _, ends := range []bool{true, false} {
		what := map[bool]string{true: "it ends", false: "it lives on"}[ends]
		none := map[string]time.Duration{}
		for _, l := range all[ends] {
			none[l] = 0
		}
		scenarios = append(scenarios, scenario{what + ", all in time", ends, none})
		for _, l := range all[ends] {
			without, late, alone := maps.Clone(none), maps.Clone(none), map[string]time.Duration{l: 0}
			delete(without, l)
			late[l] = 30 * time.Second
			others := map[string]time.Duration{}
			for _, other := range all[ends] {
				others[other] = 30 * time.Second
			}
			others[l] = 0
			if l != "journal" {
				brief, late := map[string]time.Duration{"brief journal": 0, l: 0}, map[string]time.Duration{"brief journal": 30 * time.Second, l: 0}
				scenarios = append(scenarios, scenario{what + ", brief journal and " + l, ends, brief}, scenario{what + ", brief journal late, and " + l, ends, late},
					scenario{what + ", brief journal, and " + l + " late", ends, map[string]time.Duration{"brief journal": 0, l: 30 * time.Second}})
			}
			scenarios = append(scenarios, scenario{what + ", " + l + " absent", ends, without}, scenario{what + ", " + l + " late", ends, late},
				scenario{what + ", " + l + " alone", ends, alone}, scenario{what + ", all late but " + l, ends, others})
		}
		for i, order := range permutations(all[ends]) {
			if ends && i%5 != 0 {
				continue // a fifth of the 120 has every layer at every place, and before and after every other
			}
			late := map[string]time.Duration{}
			for place, l := range order {
				late[l] = time.Duration(place*1500+i%7*100) * time.Millisecond
			}
			scenarios = append(scenarios, scenario{fmt.Sprintf("%s, in the order %s", what, strings.Join(order, " ")), ends, late})
		}
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			lasts := 80 * time.Second // what is half a minute late waits as long for an owner
			if strings.Contains(s.name, "in the order") {
				lasts = 35 * time.Second
			}
			container, found, at := live(t, s.ends, s.late, lasts)
			require.Len(t, found, 1, "%+v", found)
			f := found[0]
			assert.Equal(t, "oom-killed", f.Pattern)
			assert.Equal(t, container.Finding(), f.Entity)
			var want, got []string
			for l := range s.late {
				want = append(want, kinds[l])
			}
			for _, e := range f.Evidence {
				if strings.HasSuffix(e.Signal, ".oom_kill") {
					got = append(got, string(e.Layer)+" "+e.Signal)
					assert.WithinDuration(t, at, e.Time, 6*time.Second, "%s", e.Signal)
				}
			}
			assert.ElementsMatch(t, want, got, "each layer's word, once")
			assert.True(t, slices.IsSortedFunc(f.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) }))
			assert.NotContains(t, f.Title, "times", "it is one kill")
			// That it lives on is known by its processes or by its runtime, one of which is here.
			if s.ends {
				assert.Equal(t, finding.Critical, f.Severity)
			} else {
				assert.Equal(t, finding.Warning, f.Severity, f.Title)
				assert.Contains(t, f.Title, "it runs on without")
			}
		})
	}
}

func permutations(of []string) (all [][]string) {
	if len(of) == 0 {
		return [][]string{nil}
	}
	for i, first := range of {
		rest := slices.Delete(slices.Clone(of), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{first}, p...))
		}
	}
	return all
}

// Where the kernel accounts no memory by cgroups, as on a Raspberry Pi, or a service is in none of its own, it says that the victim was in
// the root cgroup. That is the machine; whose process it was, another layer may know.
func TestAKillInTheRootCgroup(t *testing.T) {
	w := newWorld(t, settings(t))
	root, ok := entity.New(attributes{"cgroup.path": "/", "host.name": "n1"}, "n1")
	require.True(t, ok)
	unit, _ := entity.New(attributes{"systemd.unit": "api.service", "host.name": "n1"}, "n1")
	event := func(e entity.Entity, kind string, facts map[string]string) {
		w.engine.Observe(w.now, signal.Batch{Entity: e, Signals: []signal.Signal{{Time: w.now, Kind: kind, Layer: finding.LayerJournald, Entity: e.ID, Value: 1, Attributes: facts}}})
	}
	kill := func(pid string) {
		facts := map[string]string{"pid": pid, "comm": "python3", "scope": "node"}
		event(root, signal.KernelOOMContext, map[string]string{"pid": pid, "constraint": "NONE"})
		event(root, signal.NodeOOMKill, facts)
		event(root, signal.KernelOOMKill, facts)
	}
	kill("77")
	kill("88")
	event(unit, "unit.exited", map[string]string{"pid": "88", "status": "killed", "name": "KILL"})
	w.pass(time.Minute, nil)
	var found []string
	for _, f := range w.engine.Findings() {
		require.NoError(t, f.Validate())
		found = append(found, f.Pattern+" of "+f.Entity.Name)
	}
	assert.ElementsMatch(t, []string{"process-oom-killed of n1", "oom-killed of api.service"}, found)
}

// Where something was killed in two at the time, whose the process was is not guessed, though of one of them it is not known where it is.
func TestAKillThatMayBeOfTwo(t *testing.T) {
	for range 10 { // in whatever order they are looked at
		w := newWorld(t, settings(t))
		node, _ := entity.New(attributes{"host.name": "n1"}, "n1")
		unit, _ := entity.New(attributes{"systemd.unit": "api.service", "host.name": "n1"}, "n1")
		w.observe(unit, signal.Signal{Kind: signal.UnitOOMKill, Value: 1})
		w.observe(w.cgroup("/batch"), signal.Signal{Kind: signal.OOMKill, Value: 1})
		w.observe(node, signal.Signal{Kind: signal.KernelOOMKill, Value: 1, Attributes: map[string]string{"pid": "77", "comm": "java", "scope": "cgroup"}})
		w.pass(time.Minute, nil)
		assert.NotNil(t, w.find("process-oom-killed", node))
		for _, e := range []entity.Entity{unit, w.cgroup("/batch")} {
			require.NotNil(t, w.find("oom-killed", e))
			assert.NotContains(t, w.find("oom-killed", e).Explanation, "java")
		}
	}
}

// The kernel's log may name only the pids of several that it kills in a row. The cgroup around the one where they were counts them as well.
func TestKillsInARow(t *testing.T) {
	at := func(w *world) (pod, app, node entity.Entity) {
		node, _ = entity.New(attributes{"host.name": "n1"}, "n1")
		return w.cgroup("/pod"), w.cgroup("/pod/app"), node
	}
	killed := signal.Signal{Kind: signal.OOMKill, Value: 1}
	said := func(pid string) signal.Signal {
		return signal.Signal{Kind: signal.KernelOOMKill, Value: 1, Attributes: map[string]string{"pid": pid, "comm": "java", "scope": "cgroup"}}
	}
	t.Run("all of one", func(t *testing.T) {
		w := newWorld(t, settings(t))
		pod, app, node := at(w)
		for pid := range 3 {
			w.now = w.now.Add(time.Second)
			w.observe(node, said(fmt.Sprint(70+pid)))
			w.observe(app, killed)
			w.observe(pod, killed)
		}
		w.pass(time.Minute, nil)
		require.Len(t, w.engine.Findings(), 1)
		assert.Contains(t, w.find("oom-killed", app).Title, "OOM-killed 3 times")
	})
	t.Run("one that is told twice", func(t *testing.T) {
		w := newWorld(t, settings(t))
		_, app, node := at(w)
		w.now = w.now.Add(1500 * time.Millisecond)
		for range 2 {
			w.observe(app, killed)
			w.observe(node, said("70"))
		}
		w.pass(time.Minute, nil)
		require.Len(t, w.engine.Findings(), 1)
		assert.Contains(t, w.find("oom-killed", app).Title, "was OOM-killed")
		assert.NotContains(t, w.find("oom-killed", app).Title, "times")
	})
	t.Run("another one, of nobody knows whom", func(t *testing.T) {
		w := newWorld(t, settings(t))
		pod, app, node := at(w)
		w.observe(app, killed, said("70"))
		w.observe(pod, killed)
		w.now = w.now.Add(time.Second)
		w.observe(node, said("80"))
		w.pass(time.Minute, nil)
		require.NotNil(t, w.find("process-oom-killed", node))
		assert.Len(t, w.engine.Findings(), 2)
	})
}
