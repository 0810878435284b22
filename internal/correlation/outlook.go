package correlation

import (
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

const memory = "memory"

// resource is something with a limit: where its readings come from, and how its growth is told.
type resource struct {
	name, used, limit, unit string
	// growth is the kind under which the timeline gets the rate of growth, per minute.
	growth string
}

var resources = map[string]resource{
	memory: {name: memory, used: signal.MemoryUsed, limit: signal.MemoryLimit, unit: "By", growth: signal.MemoryGrowth},
	"pids": {name: "pids", used: signal.PIDsUsed, limit: signal.PIDsLimit, unit: "{process}", growth: signal.PIDsGrowth},
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
}

// forecast feeds the latest readings of every resource that has a limit.
func (e *Engine) forecast(s *subject) {
	if s.gone {
		return
	}
	for name, res := range resources {
		used, ok := s.timeline.Latest(res.used)
		if !ok {
			continue
		}
		limit, ok := s.timeline.Latest(res.limit)
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
		if !o.sampled.IsZero() {
			o.gap = used.Time.Sub(o.sampled)
		}
		o.sampled = used.Time
		o.observe(s.timeline, used, limit)
	}
}

func (o *outlook) observe(t *timeline.Timeline, used, limit timeline.Reading) {
	o.last = o.series.Observe(forecast.Sample{Time: used.Time, Used: used.Value, Limit: limit.Value})
	o.history.Observe(used.Time, used.Value, limit.Value)
	t.Observe(signal.Signal{Time: used.Time, Kind: o.resource.growth, Layer: used.Layer, Shape: signal.Gauge,
		Value: o.last.Rate * 60, Unit: used.Unit + "/min"})
}

// restart begins anew: what was foreseen has happened.
func (o *outlook) restart() {
	o.series.Restart()
	o.last = forecast.Forecast{}
}

// unheard is how long a forecast outlives its last sample, or three samples' time where these are rarer.
const unheard = 2 * time.Minute

// predict puts the forecast into a pattern's input. It returns false when there is none.
func (o *outlook) predict(in *pattern.Input, event string) bool {
	f := o.last
	if !f.Predicts() || in.Now.Sub(o.sampled) > max(unheard, 3*o.gap) {
		return false
	}
	in.Forecast = &finding.Forecast{Event: event, At: f.At, Earliest: f.Earliest, Latest: f.Latest, Coverage: forecast.Coverage}
	in.Confidence, in.Rate, in.Reached = f.Confidence, f.Rate, f.Reason
	return true
}
