package forecast

import (
	"fmt"
	"math"
	"time"
)

// horizon is how far ahead a forecast reaches; what is further away is not growth that anybody can act on.
const horizon = 24 * time.Hour

// farthest is how far ahead a forecast reaches in times of what was observed.
const farthest = 4

// Series is the streaming state of one resource of one entity. The zero value is ready; a copy goes its own way but for
// Memory. It is not safe for concurrent use. It survives JSON.
type Series struct {
	// Memory is what is known of earlier lives. Restart adds to it; copies for other replicas may be put in.
	Memory Memory
	// Calibration replaces the fitted Weights when it isn't nil.
	Calibration *Calibration

	origin     time.Time // t = 0
	last       time.Time // of the latest sample
	samples    int
	limit      float64
	level      float64 // the latest value
	move       float64 // how far it was from the one before
	noise      float64 // by how much moves differ, typically
	peak       float64 // the highest share of the limit
	course     course
	swings     swings
	belief     Belief
	faults     float64 // counters as they were last
	refusals   float64
	pressed    bool // the level is flat because the limit holds it
	forecasted Forecast
}

// Observe takes a sample in and returns the forecast after it. Samples that are late, duplicate or absurd change nothing.
func (s *Series) Observe(x Sample) Forecast {
	if !x.valid() || !s.last.IsZero() && !x.Time.After(s.last) {
		if s.samples == 0 {
			return silent(0, "no usable sample yet")
		}
		return s.forecasted
	}
	if s.samples == 0 {
		s.origin = x.Time
		s.swings = swings{High: x.Used, Low: x.Used, Floor: x.Used}
	}
	now, passed := x.Time.Sub(s.origin).Seconds(), 0.0
	if s.samples > 0 {
		passed = x.Time.Sub(s.last).Seconds()
		if math.Abs(x.Limit-s.limit) > 0.01*s.limit {
			s.belief = Belief{} // another limit, another question
		}
		move := x.Used - s.level
		s.noise += (min(math.Abs(move-s.move)/1.7, 4*s.noise+0.002*x.Limit) - s.noise) / 16
		s.move = move
	}
	s.limit, s.level, s.last = x.Limit, x.Used, x.Time
	s.peak = min(max(s.peak, s.level/s.limit), 2)
	s.swings.observe(now, s.level, s.turn())
	s.course.add(point{t: now, low: s.level})
	s.press(x)
	s.samples++
	s.forecasted = s.forecast(passed)
	return s.forecasted
}

// turn is how far the level must move back to count as a turn, and not as noise.
func (s *Series) turn() float64 { return max(0.02*s.limit, 4*s.noise) }

// press notes whether the level stands still only because the limit holds it: nearly all of the limit is in use, and each
// page more has to be fought for. The counters may begin anew at any time.
func (s *Series) press(x Sample) {
	faults, refusals := counter(x.MajorFaults), counter(x.Refusals)
	more := s.samples > 0 && (refusals > s.refusals || faults > s.faults)
	s.pressed = more && x.Used >= 0.95*x.Limit
	s.faults, s.refusals = faults, refusals
}

// counter is a counter's value, or 0 where it can't be one.
func counter(v float64) float64 {
	if v > 0 && v < sane {
		return v
	}
	return 0
}

// Restart begins a new life after the limit was reached: the course so far is forgotten, and how it ended is remembered.
func (s *Series) Restart() { s.Begin(true) }

// Begin begins a new life. killed says whether the last one ended because the limit was reached.
func (s *Series) Begin(killed bool) {
	if s.samples >= Needed {
		s.Memory.Add(Life{Peak: s.peak, Killed: killed})
	}
	*s = Series{last: s.last, Memory: s.Memory, Calibration: s.Calibration}
}

// forecast is what there is to say after a sample that came passed seconds after the one before.
func (s *Series) forecast(passed float64) Forecast {
	f, odds := s.views()
	switch {
	case f.Predicts():
		s.belief.Hear(odds+s.Memory.odds(s.level/s.limit), passed, f.Growing.Seconds())
		f.Confidence = s.belief.Confidence()
	case s.samples >= Needed:
		s.belief.Miss(passed)
	}
	return f
}

// foresee is the forecast as it stands, without a new sample.
func (s *Series) foresee() Forecast {
	f, _ := s.views()
	if f.Predicts() {
		f.Confidence = s.belief.Confidence()
	}
	return f
}

// views looks at the course twice: as if earlier swings explained the present rise, and as if they didn't. The more
// threatening view counts.
func (s *Series) views() (f Forecast, odds float64) {
	if s.samples < Needed {
		return silent(s.samples, fmt.Sprintf("no prediction yet: %d of %d samples", s.samples, Needed)), 0
	}
	weights := s.Calibration
	if weights == nil {
		weights = &Weights
	}
	f = s.Look(true)
	odds = weights.Odds(&f.Evidence)
	if s.swings.explained(s.now()) > 0 {
		if g := s.Look(false); g.Predicts() && (!f.Predicts() || weights.Odds(&g.Evidence) > odds) {
			f, odds = g, weights.Odds(&g.Evidence)
		}
	}
	return f, odds
}

// now is the time of the latest sample, in seconds since the origin.
func (s *Series) now() float64 { return s.last.Sub(s.origin).Seconds() }

// Look is the forecast without its confidence, from one point of view: that earlier swings explain the present rise as far as
// they reach, or that they don't.
func (s *Series) Look(swinging bool) Forecast {
	now, explained := s.now(), 0.0
	if swinging {
		explained = s.swings.explained(now)
	}
	var r retained
	r.fill(&s.course, now, explained, s.turn(), &s.swings)
	g, ok := grow(&r, s.limit, s.noise)
	if !ok {
		return silent(s.samples, "not growing")
	}
	w := &s.swings
	level, reason := g.level, "steady growth"
	switch {
	case explained > 0 && w.regular(now):
		level, reason = level+w.Depth, "a floor that rises under regular swings"
	case g.usual > 3*g.step/g.slope:
		reason = "growth in steps"
	}
	if s.pressed {
		g.stall, reason = min(g.stall, g.usual), "pressing against the limit"
	}
	headroom := max(s.limit-level-s.noise, 0.001*s.limit)
	left := headroom / g.slope
	if left > farthest*g.since || left > horizon.Seconds() {
		return silent(s.samples, "grows too slowly to say when")
	}
	f := Forecast{Samples: s.samples, Rate: g.slope, Growing: time.Duration(g.active * float64(time.Second)), Reason: reason,
		Evidence: g.evidence(s.limit, headroom, left), Doubt: g.doubt(headroom, left, s.noise)}
	at := func(seconds float64) time.Time {
		return s.last.Add(time.Duration(min(seconds, 20*horizon.Seconds()) * float64(time.Second)))
	}
	f.At = at(left)
	f.Earliest, f.Latest = at(left*math.Exp(-Widths[0].Of(&f.Doubt))), at(left*math.Exp(Widths[1].Of(&f.Doubt)))
	return f
}
