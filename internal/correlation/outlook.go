package correlation

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

const (
	memory     = "memory"
	nodeMemory = "node.memory"
)

// resource is something with a limit. Its readings are the signals NAME.used and NAME.limit, or, where the date of the end is
// known, NAME.left (s); its growth is told as NAME.growth.
type resource struct {
	name, unit string
	// dated says that the date of the end is known.
	dated bool
}

func (r resource) used() string  { return r.name + ".used" }
func (r resource) limit() string { return r.name + ".limit" }
func (r resource) hits() string  { return r.name + ".limit_hits" }
func (r resource) left() string  { return r.name + ".left" }

var resources = map[string]resource{
	memory:        {name: memory, unit: "By"},
	"pids":        {name: "pids", unit: "{process}"},
	nodeMemory:    {name: nodeMemory, unit: "By"},
	"filesystem":  {name: "filesystem", unit: "By"},
	"inodes":      {name: "inodes", unit: "{inode}"},
	"conntrack":   {name: "conntrack", unit: "{connection}"},
	"files":       {name: "files", unit: "{file}"},
	"certificate": {name: "certificate", unit: "s", dated: true},
}

func resourceNames() string { return strings.Join(slices.Sorted(maps.Keys(resources)), ", ") }

// outlook is what the future of one resource of one entity looks like.
type outlook struct {
	resource resource
	series   forecast.Series
	history  timeline.History
	last     forecast.Forecast
	sampled  time.Time
	// gap is the time between the last two samples.
	gap time.Duration
	// ended is when the life before this one ended; zero when none did.
	ended time.Time
}

// forecast feeds the latest readings of every resource that has a limit.
func (e *Engine) forecast(s *subject) {
	if s.gone {
		return
	}
	for name, res := range resources {
		if res.dated {
			e.date(s, res)
			continue
		}
		used, ok := s.timeline.Latest(res.used())
		if !ok {
			continue
		}
		limit, ok := s.timeline.Latest(res.limit())
		if !ok || !(limit.Value > 0) {
			continue
		}
		o := s.outlooks[name]
		if o == nil {
			o = &outlook{resource: res}
			s.outlooks[name] = o
		}
		if !used.Time.After(o.sampled) {
			continue
		}
		// Sources tell a limit with each reading, and none where there is none.
		if told := later(limit.Time, s.restored); used.Time.Sub(told) > o.patience() {
			s.timeline.Observe(signal.Signal{Kind: res.limit(), Shape: signal.Over})
			delete(s.outlooks, name)
			continue
		}
		if !o.sampled.IsZero() {
			o.gap = used.Time.Sub(o.sampled)
		}
		o.sampled = used.Time
		e.recall(s, o)
		o.observe(s.timeline, used, limit)
	}
}

// date takes the latest reading of a resource that ends at a known date.
func (e *Engine) date(s *subject, res resource) {
	left, ok := s.timeline.Latest(res.left())
	if !ok {
		return
	}
	o := s.outlooks[res.name]
	if o == nil {
		o = &outlook{resource: res}
		s.outlooks[res.name] = o
	}
	if left.Time.After(o.sampled) {
		o.gap, o.sampled = left.Time.Sub(cmp.Or(o.sampled, left.Time)), left.Time
		o.last = forecast.Dated(left.Time, left.Value)
	}
}

func (o *outlook) observe(t *timeline.Timeline, used, limit timeline.Reading) {
	sample := forecast.Sample{Time: used.Time, Used: used.Value, Limit: limit.Value}
	if hits, ok := t.Latest(o.resource.hits()); ok {
		sample.Refusals = hits.Value
	}
	if faults, ok := t.Latest(signal.MemoryMajorFaults); ok && o.resource.name == memory {
		sample.MajorFaults = faults.Value
	}
	o.last = o.series.Observe(sample)
	o.history.Observe(used.Time, used.Value, limit.Value)
	t.Observe(signal.Signal{Time: used.Time, Kind: signal.Growth(o.resource.name), Layer: used.Layer, Shape: signal.Gauge,
		Value: o.last.Rate * 60, Unit: used.Unit + "/min"})
}

// unheard is how long a forecast outlives its last sample, and its limit, or three samples' time where these are rarer.
const unheard = 2 * time.Minute

func (o *outlook) patience() time.Duration { return max(unheard, 3*o.gap) }

// current says whether there is a forecast, of a sample that is not too old.
func (o *outlook) current(now time.Time) bool {
	return o.last.Predicts() && now.Sub(o.sampled) <= o.patience()
}

// predict puts the forecast into a pattern's input. It returns false when there is none.
func (o *outlook) predict(in *pattern.Input, event string) bool {
	f := o.last
	if !o.current(in.Now) {
		return false
	}
	in.Forecast = &finding.Forecast{Event: event, At: f.At, Earliest: f.Earliest, Latest: f.Latest, Coverage: forecast.Coverage}
	in.Confidence, in.Rate, in.Reached = f.Confidence, f.Rate, f.Reason
	return true
}
