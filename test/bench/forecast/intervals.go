package main

import (
	"fmt"
	"io"
	"math"
	"math/rand"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// miss is by how much a predicted time was off, and what was known of its doubt.
type miss struct {
	kind   string
	doubt  forecast.Doubt
	by     float64 // log(real / predicted time left)
	weight float64
}

// misses are those of all predictions of kills that came, at confidence ≥ 0.5; each run counts the same.
func misses(traces []trajectory.Trace) (all []miss) {
	per := make([][]miss, len(traces))
	parallel(len(traces), func(i int) {
		t := traces[i]
		if t.OOMAt == nil || t.Kind == "spike" {
			return
		}
		var s forecast.Series
		for _, r := range t.Readings {
			f := s.Observe(r.Sample(t.Limit))
			predicted, left := trajectory.Seconds(f.At)-r.T, *t.OOMAt-r.T
			if f.Predicts() && f.Confidence >= 0.5 && left > 0 && predicted > 0 {
				per[i] = append(per[i], miss{kind: t.Kind, doubt: f.Doubt, by: math.Log(left / predicted)})
			}
		}
		for j := range per[i] {
			per[i][j].weight = 1 / float64(len(per[i]))
		}
	})
	for _, p := range per {
		all = append(all, p...)
	}
	return all
}

// pinball is the loss that is least where a tenth of the misses lies outside the side of the interval.
func pinball(ms []miss, w *forecast.Width, side float64) (loss float64) {
	for i := range ms {
		d := min(max(side*ms[i].by, -3), 3) - w.Of(&ms[i].doubt)
		loss += ms[i].weight * max(0.9*d, -0.1*d)
	}
	return loss
}

func searchWidth(ms []miss, side float64, steps int) forecast.Width {
	r := rand.New(rand.NewSource(1))
	w := forecast.Width{-1}
	best := pinball(ms, &w, side)
	for i := range steps {
		c := w
		for range 1 + r.Intn(2) {
			c[r.Intn(len(c))] += r.NormFloat64() * (0.3*math.Exp(-3*float64(i)/float64(steps)) + 0.005)
		}
		if l := pinball(ms, &c, side); l < best {
			best, w = l, c
		}
	}
	return w
}

// widths fits both sides of the interval, and says how often it holds the kill, on kinds unseen too.
func widths(out io.Writer, traces []trajectory.Trace, steps int) {
	ms := misses(traces)
	var got [folds + 1][2]forecast.Width
	parallel(2*(folds+1), func(k int) {
		var part []miss
		for _, m := range ms {
			if k/2 == folds || fold(m.kind) != k/2 {
				part = append(part, m)
			}
		}
		got[k/2][k%2] = searchWidth(part, float64(k%2*2-1), steps)
	})
	fmt.Fprintf(out, "\nvar Widths = [2]Width{{%s}, {%s}}\n", numbers(got[folds][0][:]), numbers(got[folds][1][:]))
	for _, unseen := range []bool{false, true} {
		held, n := 0.0, 0.0
		for _, m := range ms {
			w := got[folds]
			if unseen {
				w = got[fold(m.kind)]
			}
			n += m.weight
			if m.by >= -w[0].Of(&m.doubt) && m.by <= w[1].Of(&m.doubt) {
				held += m.weight
			}
		}
		fmt.Fprintf(out, "coverage %.3f (kinds unseen: %v)\n", held/n, unseen)
	}
}
