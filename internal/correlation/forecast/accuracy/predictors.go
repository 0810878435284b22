package accuracy

import (
	"math"
	"slices"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// Tapio is the predictor this is all about.
type Tapio struct {
	series forecast.Series
	limit  float64
}

// NewTapio returns one that knows nothing yet.
func NewTapio(limit float64) Predictor { return &Tapio{limit: limit} }

// NewTapioWith returns one with another calibration.
func NewTapioWith(limit float64, c *forecast.Calibration) Predictor {
	return &Tapio{limit: limit, series: forecast.Series{Calibration: c}}
}

// Answer implements Predictor.
func (p *Tapio) Answer(r *trajectory.Reading) trajectory.Answer {
	s := r.Sample(p.limit)
	p.limit = s.Limit
	return trajectory.AnswerOf(p.series.Observe(s))
}

// Baselines are what people use today, by name, in the order in which they are told.
var Baselines = []struct {
	Name string
	New  func(limit float64) Predictor
}{
	{"threshold90", func(l float64) Predictor { return threshold{0.9, l} }},
	{"threshold85", func(l float64) Predictor { return threshold{0.85, l} }},
	{"predict_linear", func(l float64) Predictor { return &linear{limit: l} }},
	{"theil_sen", func(l float64) Predictor { return &linear{limit: l, robust: true} }},
}

// threshold warns while the working set is above a share of the limit.
type threshold struct{ share, limit float64 }

func (p threshold) Answer(r *trajectory.Reading) trajectory.Answer {
	if workingSet(r) > p.share*p.limit {
		return trajectory.Answer{OOMAt: r.T + 600, Lo: r.T, Hi: r.T + 3600, Confidence: 0.9, Speaks: true}
	}
	return trajectory.Answer{}
}

// linear is the common alert predict_linear(container_memory_working_set_bytes[30m], 3600) > limit, or, robust, the
// Theil-Sen slope of anonymous memory with a Mann-Kendall test.
type linear struct {
	limit  float64
	robust bool
	window []*trajectory.Reading
	pts    []*trajectory.Reading
	slopes []float64 // kept from answer to answer: there are 780 of them
}

const window, ahead = 1800, 3600 // seconds

func (p *linear) Answer(r *trajectory.Reading) trajectory.Answer {
	p.window = append(p.window, r)
	p.window = slices.DeleteFunc(p.window, func(x *trajectory.Reading) bool { return x.T <= r.T-window })
	if len(p.window) < 12 {
		return trajectory.Answer{}
	}
	var slope, level float64
	if p.robust {
		var significant bool
		if slope, significant = p.theilSen(); !significant {
			return trajectory.Answer{}
		}
		level = workingSet(r)
	} else {
		slope, level = p.leastSquares(r.T)
	}
	if slope <= 0 {
		return trajectory.Answer{}
	}
	left := max(0, (p.limit-level)/slope)
	if left >= ahead {
		return trajectory.Answer{}
	}
	return trajectory.Answer{OOMAt: r.T + left, Lo: r.T + left*0.7, Hi: r.T + left*1.5, Confidence: 0.8, Speaks: true}
}

func (p *linear) leastSquares(at float64) (slope, level float64) {
	n := float64(len(p.window))
	var mx, my, sxx, sxy float64
	for _, r := range p.window {
		mx, my = mx+r.T/n, my+workingSet(r)/n
	}
	for _, r := range p.window {
		sxx += (r.T - mx) * (r.T - mx)
		sxy += (r.T - mx) * (workingSet(r) - my)
	}
	if sxx == 0 {
		return 0, my
	}
	slope = sxy / sxx
	return slope, my + slope*(at-mx)
}

func (p *linear) theilSen() (slope float64, significant bool) {
	pts, slopes := p.pts[:0], p.slopes[:0]
	for i := 0; i < len(p.window); i += max(1, len(p.window)/40) {
		pts = append(pts, p.window[i])
	}
	k := 0.0
	for i := range pts {
		for j := i + 1; j < len(pts); j++ {
			s := (held(pts[j]) - held(pts[i])) / (pts[j].T - pts[i].T)
			slopes = append(slopes, s)
			if s > 0 {
				k++
			} else if s < 0 {
				k--
			}
		}
	}
	p.pts, p.slopes = pts, slopes
	if k <= 0 {
		return 0, false // before all the sorting
	}
	slices.Sort(slopes)
	middle := (slopes[(len(slopes)-1)/2] + slopes[len(slopes)/2]) / 2
	n := float64(len(pts))
	return middle, k/math.Sqrt(n*(n-1)*(2*n+5)/18) >= 2.6
}

// held is anonymous and shared memory.
func held(r *trajectory.Reading) (bytes float64) {
	if r.Anon != nil {
		bytes += *r.Anon
	}
	if r.Shmem != nil {
		bytes += *r.Shmem
	}
	return bytes
}

func workingSet(r *trajectory.Reading) float64 {
	if r.WorkingSet != nil {
		return *r.WorkingSet
	}
	return r.Sample(1).Used
}
