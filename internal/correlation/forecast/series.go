package forecast

import (
	"math"
	"time"
)

// points is how many points a series keeps. When it is full every two become one, so that a series of any length fits in a
// fixed amount of memory, at a resolution in proportion to its length.
const points = 64

// horizon is how far ahead a forecast reaches; what is further away is not growth that anybody can act on.
const horizon = 24 * time.Hour

// point is the floor of the resource over one step: the least that was in use. A garbage collector's peaks say nothing.
type point struct{ t, floor float64 }

// Series is the streaming state of one resource of one entity. The zero value is ready. It is not safe for concurrent use.
type Series struct {
	origin  time.Time // t = 0
	last    time.Time
	samples int
	limit   float64
	ring    [points]point
	n       int
	step    float64 // seconds a point covers
	level   float64 // the latest value
	current Forecast
}

// Observe takes a sample in and returns the forecast after it. Samples that are late, duplicate or absurd change nothing.
func (s *Series) Observe(x Sample) Forecast {
	if !x.valid() || !s.last.IsZero() && !x.Time.After(s.last) {
		return s.current
	}
	if s.n > 0 && restarted(s.level, x.Used, x.Limit) {
		s.Restart()
	}
	if s.n == 0 {
		s.origin = x.Time
	}
	s.last, s.limit, s.level = x.Time, x.Limit, x.Used
	s.samples++
	s.add(x.Time.Sub(s.origin).Seconds(), x.Used)
	s.current = s.forecast()
	return s.current
}

// Restart forgets the course so far: another process uses the resource now.
func (s *Series) Restart() { *s = Series{last: s.last} }

// restarted says whether a drop means that the workload began anew: more than half of what was there is gone, and that was
// a fair part of the limit. A garbage collector that gives back less is at work in the same process.
func restarted(before, now, limit float64) bool {
	return now < before/2 && before-now > limit/4
}

func (s *Series) add(t, used float64) {
	if s.n > 0 {
		if p := &s.ring[s.n-1]; t-p.t < s.step {
			p.floor = min(p.floor, used)
			return
		}
	}
	if s.n == points {
		for i := 0; i < points/2; i++ {
			a, b := s.ring[2*i], s.ring[2*i+1]
			s.ring[i] = point{a.t, min(a.floor, b.floor)}
		}
		s.n = points / 2
		s.step = (s.ring[s.n-1].t - s.ring[0].t) / float64(s.n-1)
		if p := &s.ring[s.n-1]; t-p.t < s.step {
			p.floor = min(p.floor, used)
			return
		}
	}
	s.ring[s.n] = point{t, used}
	s.n++
}

func (s *Series) forecast() Forecast {
	if s.samples < Needed || s.n < 8 {
		return silent(s.samples, "no prediction yet: %d of %d samples", min(s.samples, Needed-1), Needed)
	}
	now := s.ring[s.n-1].t
	// Several windows see the same growth, or the growth is changing: their spread is the doubt.
	var fits []line
	for k := s.n; k >= 8; k /= 2 {
		fits = append(fits, fit(s.ring[s.n-k:s.n]))
	}
	recent := fits[len(fits)-1]
	slope, low, high := recent.slope, math.Inf(1), math.Inf(-1)
	for _, f := range fits {
		low, high = min(low, f.slope-1.28*f.err), max(high, f.slope+1.28*f.err)
		slope = min(slope, max(f.slope, 0.5*slope))
	}
	if slope <= 0 || recent.slope <= 0 {
		return silent(s.samples, "not growing")
	}
	left := s.limit - s.level
	eta := left / slope
	if eta > horizon.Seconds() {
		return silent(s.samples, "would reach its limit in more than a day")
	}
	low = max(low, slope/4)
	f := Forecast{Samples: s.samples, Rate: slope, Reason: "straight growth"}
	at := func(d float64) time.Time { return s.last.Add(time.Duration(max(d, 0) * float64(time.Second))) }
	f.At, f.Earliest, f.Latest = at(eta), at(left/max(high, slope)), at(left/low)
	_ = now
	f.Confidence = confidence(fits, slope, recent)
	return f
}

// confidence weighs how steady the growth is: how well a line explains it, and how far the windows agree.
func confidence(fits []line, slope float64, recent line) float64 {
	worst := math.Inf(1)
	for _, f := range fits {
		worst = min(worst, f.slope/max(f.err, 1e-9))
	}
	agree := 1.0
	for _, f := range fits {
		agree = min(agree, min(f.slope, recent.slope)/max(f.slope, recent.slope, 1e-9))
	}
	z := -1.5 + 0.25*min(worst, 12) + 2*agree
	return 1 / (1 + math.Exp(-z))
}

// line is a least-squares line through points: its slope and the slope's standard error.
type line struct{ slope, err float64 }

func fit(ps []point) line {
	n := float64(len(ps))
	var mt, my float64
	for _, p := range ps {
		mt += p.t / n
		my += p.floor / n
	}
	var stt, sty, syy float64
	for _, p := range ps {
		dt, dy := p.t-mt, p.floor-my
		stt += dt * dt
		sty += dt * dy
		syy += dy * dy
	}
	if stt == 0 {
		return line{}
	}
	b := sty / stt
	rss := max(syy-b*sty, 0)
	return line{slope: b, err: math.Sqrt(rss / (n - 2) / stt)}
}
