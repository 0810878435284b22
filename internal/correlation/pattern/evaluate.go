package pattern

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

// fresh is how long a reading counts where its clause sets no window.
const fresh = time.Minute

// maxEvidence bounds the pieces of evidence of one clause: the latest ones tell.
const maxEvidence = 8

// Input is what a pattern is held against: one entity at one time.
type Input struct {
	Now      time.Time
	Entity   entity.Entity
	Timeline *timeline.Timeline
	// Forecast is that of the pattern's resource, nil where there is none; Confidence and Rate (unit/s) belong to it, and
	// Reached says how it came about.
	Forecast   *finding.Forecast
	Confidence float64
	Rate       float64
	Reached    string
	// Foreseen says how right a prediction was that this diagnosis makes true; empty where there was none. Nil: nobody knows.
	Foreseen func(*Confirmation) string
	// Evicted finds the pods of a node that would be evicted first for want of memory; nil but of a node's memory. It looks at
	// every entity, so it is asked only when a text tells of them.
	Evicted func() []Candidate
	// Told says that people have been told already: then Forecast.Until counts, not Forecast.When.
	Told bool
}

// Candidate is a pod that may be evicted: what it uses, and what it requested (By; 0 where it requested nothing).
type Candidate struct {
	Name            string
	Used, Requested float64
}

// Match is what a pattern has to say of an entity.
type Match struct {
	Severity    finding.Severity
	Confidence  float64
	Title       string
	Brief       string
	Explanation string
	// Shared names what this has in common with findings that have the same cause; empty where there is nothing of the kind.
	Shared string
	// Peer is whom the entity wants to reach; empty where it is nobody.
	Peer string
	// OwnCause says that nothing else explains it.
	OwnCause bool
	// Confirms are the predictions that it makes true, of those that the pattern may.
	Confirms []*Confirmation
	Evidence []finding.Evidence
	Remedies []finding.Remedy
}

// seen is what one clause saw.
type seen struct {
	clause *Clause
	events []timeline.Event
	kind   string
	read   *timeline.Reading
	Count  int
	Sum    float64
	Value  float64
	Time   time.Time
	Text   string
	// Attributes are those of the latest event.
	Attributes map[string]string
}

// Evaluate holds the pattern against an entity. It returns nil when the pattern does not hold, and until when the answer stays as it
// is if nothing else is observed. An error means that a condition or text could not be evaluated for another reason than missing
// evidence, which is no error: the condition then does not hold.
func (p *Pattern) Evaluate(in Input) (m *Match, until time.Time, err error) {
	clk := startClock(in.Now)
	m, err = p.evaluate(in, clk)
	return m, clk.until, err
}

func (p *Pattern) evaluate(in Input, clk *clock) (*Match, error) {
	if p.Forecast != nil && in.Forecast == nil {
		return nil, nil
	}
	triggers := func(c *Clause) bool { return c.Role == Trigger && in.Timeline.Knows(c.Any...) }
	if p.Forecast == nil && !slices.ContainsFunc(p.Signals, triggers) {
		return nil, nil // as of most entities, which cost no more than to see that
	}
	vars := map[string]any{"r": in.Timeline.Values(), "increase": in.Timeline.Increases(), "entity": facts(in.Entity),
		"confidence": in.Confidence, "eta": 0.0}
	if in.Forecast != nil {
		vars["eta"] = clk.left(in.Forecast.At).Seconds()
	}
	matched := make(map[string]*seen, len(p.Signals))
	vars["facts"] = none
	doubt, triggered := 1.0, p.Forecast != nil
	// What decides comes first.
	for _, deciding := range []bool{true, false} {
		for _, c := range p.Signals {
			if (c.Required || c.Role == Trigger) != deciding {
				continue
			}
			s, ok := c.look(in, clk, vars)
			vars[c.ID] = ok
			if !ok {
				if c.Required {
					return nil, nil
				}
				continue
			}
			matched[c.ID] = s
			doubt *= 1 - c.Weight
			if c.Role == Trigger {
				triggered = true
				vars["facts"] = merged(vars["facts"].(map[string]string), s.Attributes)
				clk.trigger(s.Time)
			}
		}
		if !triggered {
			return nil, nil
		}
	}
	if !holds(p.when, vars) {
		return nil, nil
	}
	m := &Match{Confidence: 1 - doubt, OwnCause: p.ownCause != nil && holds(p.ownCause, vars)}
	if f := p.Forecast; f != nil {
		cond := f.when
		if in.Told {
			cond = f.until
		}
		if !holds(cond, vars) {
			return nil, nil
		}
		m.Confidence = in.Confidence
	}
	for _, rule := range p.Severity {
		if holds(rule.when, vars) {
			m.Severity = rule.Is
			break
		}
	}
	for i := range p.Confirms {
		c := &p.Confirms[i]
		if slices.ContainsFunc(p.Signals, func(by *Clause) bool { return matched[by.ID] != nil && c.Shows(by) }) && holds(c.when, vars) {
			m.Confirms = append(m.Confirms, c)
		}
	}
	return m, p.describe(m, &story{pattern: p, in: in, clock: clk, matched: matched, confirms: m.Confirms}, vars)
}

// Asks says whether now is the time to find out what the pattern asks for.
func (p *Pattern) Asks(in Input) bool {
	if p.Ask.when == nil {
		return true
	}
	vars := map[string]any{"r": in.Timeline.Values(), "increase": in.Timeline.Increases(), "entity": facts(in.Entity),
		"confidence": in.Confidence, "eta": math.Inf(1)}
	if in.Forecast != nil {
		vars["eta"] = in.Forecast.At.Sub(in.Now).Seconds()
	}
	return holds(p.Ask.when, vars)
}

// describe fills in everything that people read.
func (p *Pattern) describe(m *Match, data *story, vars map[string]any) error {
	for _, c := range p.Signals {
		s := data.matched[c.ID]
		if s == nil {
			continue
		}
		evidence, err := s.evidence(data)
		if err != nil {
			return fmt.Errorf("pattern %s: text of %s: %w", p.Name, c.ID, err)
		}
		m.Evidence = append(m.Evidence, evidence...)
	}
	slices.SortStableFunc(m.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) })
	var err error
	if m.Title, err = sentence(p.title, data); err != nil {
		return fmt.Errorf("pattern %s: %w", p.Name, err)
	}
	if p.brief != nil {
		if m.Brief, err = sentence(p.brief, data); err != nil {
			return fmt.Errorf("pattern %s: %w", p.Name, err)
		}
	}
	if p.shared != nil {
		if m.Shared, err = sentence(p.shared, data); err != nil {
			return fmt.Errorf("pattern %s: %w", p.Name, err)
		}
	}
	if p.peer != nil {
		if m.Peer, err = sentence(p.peer, data); err != nil {
			return fmt.Errorf("pattern %s: %w", p.Name, err)
		}
	}
	if m.Explanation, err = sentence(p.explanation, data); err != nil {
		return fmt.Errorf("pattern %s: %w", p.Name, err)
	}
	for _, r := range p.Remedies {
		if !holds(r.when, vars) {
			continue
		}
		f := finding.Remedy{ID: r.ID, Risk: r.Risk}
		if f.Title, err = sentence(r.title, data); err != nil {
			return fmt.Errorf("pattern %s: remedy %s: %w", p.Name, r.ID, err)
		}
		for _, c := range r.Commands {
			if !holds(c.when, vars) {
				continue
			}
			if f.Command, err = render(c.run, data); err != nil {
				return fmt.Errorf("pattern %s: remedy %s: %w", p.Name, r.ID, err)
			}
			break
		}
		m.Remedies = append(m.Remedies, f)
	}
	return nil
}

// merged are the attributes of two triggers; the first has the say where both know one.
func merged(a, b map[string]string) map[string]string {
	if len(a) == 0 {
		return b
	}
	all := maps.Clone(b)
	maps.Copy(all, a)
	return all
}

// none are the attributes of what has none. Conditions and texts only read them.
var none = map[string]string{}

// look gathers what the clause is about and says whether its condition holds.
func (c *Clause) look(in Input, clk *clock, vars map[string]any) (*seen, bool) {
	window := time.Duration(c.Within)
	if window == 0 {
		window = fresh
	}
	events := in.Timeline.Events(in.Now.Add(-window), c.Any...)
	if c.Per == "" || len(events) < 2 {
		return c.judge(in, clk, vars, window, events)
	}
	for _, same := range apart(events, c.Per) {
		if s, ok := c.judge(in, clk, vars, window, same); ok {
			return s, true
		}
	}
	return nil, false
}

// apart parts events by an attribute; those with the largest sum come first.
func apart(events []timeline.Event, attribute string) [][]timeline.Event {
	place := map[string]int{}
	var groups [][]timeline.Event
	for _, e := range events {
		at, known := place[e.Attributes[attribute]]
		if !known {
			at = len(groups)
			place[e.Attributes[attribute]] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], e)
	}
	slices.SortStableFunc(groups, func(a, b []timeline.Event) int {
		_, left := counts(a)
		_, right := counts(b)
		return cmp.Compare(right, left)
	})
	return groups
}

// judge says whether the condition holds of some events, or of the latest reading where there are none.
func (c *Clause) judge(in Input, clk *clock, vars map[string]any, window time.Duration, events []timeline.Event) (*seen, bool) {
	s := &seen{clause: c, Attributes: none, events: events}
	if n := len(s.events); n > 0 {
		last := s.events[n-1]
		s.Value, s.Time, s.Text = last.Value, last.Time, last.Text
		s.Count, s.Sum = counts(s.events)
		if last.Attributes != nil {
			s.Attributes = last.Attributes
		}
		clk.keep(s.events[0].Time.Add(window))
	} else {
		for _, kind := range c.Any {
			r, ok := in.Timeline.Latest(kind)
			if ok && !r.Counter && in.Now.Sub(r.Time) <= window {
				s.kind, s.read = kind, &r
				s.Count, s.Value, s.Time = 1, r.Value, r.Time
				clk.keep(r.Time.Add(window))
				if d := r.Detail; d != nil {
					s.Text = d.Text
					if d.Attributes != nil {
						s.Attributes = d.Attributes
					}
				}
				break
			}
		}
	}
	if s.Count == 0 {
		return nil, false
	}
	ok := holds(c.when, map[string]any{
		"r": vars["r"], "increase": vars["increase"], "entity": vars["entity"], "value": s.Value, "count": s.Count, "sum": s.Sum,
		"rate": s.Sum / window.Seconds(), "text": s.Text, "attributes": s.Attributes,
		"age":       func() any { return clk.since(s.Time) },
		"triggered": func() any { return clk.since(clk.triggered) },
		"after":     clk.after(s.Time),
	})
	return s, ok
}

// counts are how many events there were, and the sum of their values: by the layer that saw most. What several layers saw is
// the same thing, seen several times.
func counts(events []timeline.Event) (count int, sum float64) {
	counts, sums := map[finding.Layer]int{}, map[finding.Layer]float64{}
	for _, e := range events {
		counts[e.Layer]++
		sums[e.Layer] += e.Value
		count, sum = max(count, counts[e.Layer]), max(sum, sums[e.Layer])
	}
	return count, sum
}

// evidence tells what the clause saw. Signals without a text of their own are summed up in one sentence for each layer.
func (s *seen) evidence(data *story) ([]finding.Evidence, error) {
	if s.read != nil {
		text, err := s.sentence(data)
		v, since := s.read.Value, s.read.Time
		if d := s.read.Detail; d != nil && !d.Since.IsZero() && d.Since.Before(since) {
			since = d.Since
		}
		return []finding.Evidence{{Time: since, Layer: s.read.Layer, Signal: s.kind, Text: text, Value: &v, Unit: s.read.Unit}}, err
	}
	var all []finding.Evidence
	summed := map[string]int{} // layer and kind → place in all
	for _, e := range s.events {
		key := string(e.Layer) + " " + e.Kind
		if at, ok := summed[key]; ok && e.Text == "" {
			*all[at].Value += e.Value
			continue
		}
		v, text := e.Value, e.Text
		if text == "" || s.clause.text != nil {
			var err error
			if text, err = s.sentence(data); err != nil {
				return nil, err
			}
			summed[key] = len(all)
		}
		if e.Vague() {
			text += fmt.Sprintf(" (at some time since %s, when it was read last)", e.After.UTC().Format(time.DateTime+" MST"))
		}
		all = append(all, finding.Evidence{Time: e.First, Layer: e.Layer, Signal: e.Kind, Text: text, Value: &v, Unit: e.Unit})
	}
	if extra := len(all) - maxEvidence; extra > 0 {
		all = all[extra:]
	}
	return all, nil
}

func (s *seen) sentence(data *story) (string, error) {
	if s.clause.text == nil {
		return cmp.Or(s.Text, s.clause.Any[0]), nil
	}
	return sentence(s.clause.text, data)
}

// holds evaluates a condition. A condition that asks for evidence which is not there does not hold.
func holds(cond cel.Program, vars map[string]any) bool {
	if cond == nil {
		return true
	}
	out, _, err := cond.Eval(vars)
	if err != nil {
		return false
	}
	yes, ok := out.Value().(bool)
	return ok && yes
}

func facts(e entity.Entity) map[string]string {
	all := map[string]string{"kind": string(e.Kind), "namespace": e.Namespace, "name": e.Name, "container": e.Container, "node": e.Node,
		"cgroup_version": e.CgroupVersion, "owner": "", "owner_kind": ""}
	if e.Owner != nil {
		all["owner"], all["owner_kind"] = e.Owner.Name, e.Owner.Kind
	}
	return all
}
