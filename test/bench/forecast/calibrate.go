package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand"
	"slices"
	"text/tabwriter"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// folds is into how many parts the kinds of runs are split.
const folds = 5

// fold is the part that a kind belongs to. All runs of a kind are held out together, so that what is measured is how a
// calibration does on kinds that it has never seen.
func fold(kind string) int {
	h := fnv.New32a()
	h.Write([]byte(kind))
	return int(h.Sum32() % 10 % folds)
}

// sign is what each weight may be: evidence that argues for a kill can't be made to argue against it.
var sign = forecast.Calibration{0, 1, -1, -1, 1, 1, 1, 1}

// At these rates of false alarms the confidence is set to 0.5 and to 0.8, and around them recall and lead are sought.
const rateAt50, rateAt80 = 0.29, 0.07

// aim is a rate of false alarms and the lead that is enough there, in minutes.
type aim struct{ rate, lead float64 }

var aims = []aim{{0.07, 12}, {0.10, 12}, {0.25, 24}, {0.33, 24}}

// calibrate fits the weights of the confidence and the widths of the interval, prints them as Go, and then how fits do that
// never saw the kinds they are judged on.
func calibrate(out io.Writer, traces []trajectory.Trace, steps int) {
	ps := paths(traces)
	got := make([]forecast.Calibration, folds+1)
	parallel(folds+1, func(k int) {
		var part []path
		for _, p := range ps {
			if k == folds || fold(p.kind) != k {
				part = append(part, p)
			}
		}
		got[k] = search(part, steps)
	})
	fmt.Fprintf(out, "var Weights = Calibration{%s}\n", numbers(got[folds][:]))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, unseen := range []bool{false, true} {
		ans := make([][]trajectory.Answer, len(traces))
		parallel(len(traces), func(i int) {
			c := got[folds]
			if unseen {
				c = got[fold(traces[i].Kind)]
			}
			ans[i] = accuracy.Replay(traces[i], accuracy.NewTapioWith(traces[i].Limit, &c))
		})
		name := map[bool]string{false: "fitted on all", true: "kinds unseen"}[unseen]
		for _, at := range sweep {
			row(w, fmt.Sprintf("%s ≥ %.2f", name, at), accuracy.Sum(judge(traces, ans, at)))
		}
	}
	w.Flush()
	widths(out, traces, steps)
}

func numbers(v []float64) (text string) {
	for i, x := range v {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.3f", x)
	}
	return text
}

// view is one way to see a sample.
type view struct {
	evidence      forecast.Evidence
	left, growing float64 // seconds
}

// path is all that the confidence of one run depends on, so that weights can be tried quickly.
type path struct {
	kind  string
	t     []float64
	views [][]view
	kill  float64 // NaN when there is none that can be foreseen
}

func paths(traces []trajectory.Trace) []path {
	out := make([]path, len(traces))
	parallel(len(traces), func(i int) {
		p := path{kind: traces[i].Kind, kill: math.NaN()}
		if traces[i].OOMAt != nil && traces[i].Kind != "spike" {
			p.kill = *traces[i].OOMAt
		}
		var s forecast.Series
		for _, r := range traces[i].Readings {
			f := s.Observe(r.Sample(traces[i].Limit))
			var views []view
			for _, swinging := range []bool{true, false} {
				if v := s.Look(swinging); v.Predicts() && f.Samples >= forecast.Needed {
					views = append(views, view{v.Evidence, trajectory.Seconds(v.At) - r.T, v.Growing.Seconds()})
				}
			}
			p.t, p.views = append(p.t, r.T), append(p.views, views)
		}
		out[i] = p
	})
	return out
}

const never = -50 // odds below all that occur

// alarm returns, for each sample, the odds up to which an alarm would have been on from there to the end (or, on a quiet
// path, at that moment): three samples in a row begin it, three end it.
func (p *path) alarm(w *forecast.Calibration, odds, on []float64) (_, _ []float64) {
	odds, on = odds[:0], on[:0]
	var b forecast.Belief
	for i, views := range p.views {
		passed, best := p.t[i]-p.t[max(i-1, 0)], math.Inf(-1)
		var v *view
		for k := range views {
			if o := w.Odds(&views[k].evidence); o > best {
				v, best = &views[k], o
			}
		}
		now := float64(never)
		if v == nil {
			b.Miss(passed)
		} else if b.Hear(best, passed, v.growing); v.left <= 4*3600 {
			now = b.Odds
		}
		odds = append(odds, now)
		if i < 2 {
			on = append(on, never)
		} else {
			on = append(on, min(odds[i], odds[i-1], odds[i-2]))
		}
	}
	if !math.IsNaN(p.kill) {
		stands := math.Inf(1)
		for i := len(odds) - 1; i >= 0; i-- {
			if i+2 < len(odds) {
				stands = min(stands, max(odds[i], odds[i+1], odds[i+2]))
			}
			on[i] = min(on[i], stands)
		}
	}
	return odds, on
}

// quiet returns the odds of the false alarms, sorted.
func quiet(ps []path, w *forecast.Calibration) (worst []float64) {
	var odds, on []float64
	for i := range ps {
		if math.IsNaN(ps[i].kill) {
			odds, on = ps[i].alarm(w, odds, on)
			worst = append(worst, slices.Max(on))
		}
	}
	slices.Sort(worst)
	return worst
}

func quantile(sorted []float64, q float64) float64 { return sorted[int(float64(len(sorted))*q)] }

// goodness is the recall and the lead at the aimed-at rates of false alarms. The recall is smooth, so that it can be climbed.
func goodness(ps []path, w *forecast.Calibration) float64 {
	norm := 0.0
	for _, x := range w[1:] {
		norm += x * x
	}
	soft := 0.03 * math.Sqrt(norm)
	falsely := quiet(ps, w)
	var recall, lead, kills [8]float64
	var odds, on []float64
	for i := range ps {
		p := &ps[i]
		if math.IsNaN(p.kill) {
			continue
		}
		odds, on = p.alarm(w, odds, on)
		need := p.kill - max(300, 0.05*p.kill)
		hit := float64(never)
		for j, o := range on {
			if p.t[j] <= need {
				hit = max(hit, o)
			}
		}
		for k, a := range aims {
			level := quantile(falsely, 1-a.rate)
			recall[k] += 1 / (1 + math.Exp(-(hit-level)/soft))
			kills[k]++
			if j := slices.IndexFunc(on, func(o float64) bool { return o >= level }); j >= 0 {
				lead[k] += min(p.kill-p.t[j], 3600) / 60
			}
		}
	}
	sum := 0.0
	for k, a := range aims {
		sum += 4*recall[k]/kills[k] + 0.5*min(lead[k]/kills[k]/a.lead, 1.08)
	}
	return sum
}

// search climbs by random steps from weights of ½ each, and then scales them so that confidence means what it should.
func search(ps []path, steps int) forecast.Calibration {
	r := rand.New(rand.NewSource(1))
	w := sign
	for k := range w {
		w[k] /= 2
	}
	best := goodness(ps, &w)
	for i := range steps {
		size := 0.5*math.Exp(-2*float64(i)/float64(steps)) + 0.02
		c := w
		for range 1 + r.Intn(2) {
			k := 1 + r.Intn(len(w)-1)
			if c[k] += r.NormFloat64() * size; sign[k]*c[k] < 0 {
				c[k] = 0
			}
		}
		if g := goodness(ps, &c); g > best {
			best, w = g, c
		}
	}
	falsely := quiet(ps, &w)
	low, high := quantile(falsely, 1-rateAt50), quantile(falsely, 1-rateAt80)
	scale := math.Log(0.8/0.2) / (high - low)
	for k := range w {
		w[k] *= scale
	}
	w[0] -= scale * low
	return w
}
