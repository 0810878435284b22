//go:build linux

package main

import "math"

// blocks are the parts that a course is cut into. Samples beside each other are alike (a heap grows from one garbage collection to the
// next), so that each by itself would make the trend look more certain than it is; the means of long parts are nearly independent.
const blocks = 6

// studentT is the 97.5 % quantile of Student's t with blocks-2 degrees of freedom.
const studentT = 2.776

// worth is the growth in an hour, of 1, below which there is none worth the name.
const worth = 0.02

// trend is the slope of the line through the means of the blocks of a course, and how far the true one may be from it with 95 %.
func trend(at, v []float64) (slope, margin float64) {
	var x, y [blocks]float64
	for b := range blocks {
		from, to := b*len(v)/blocks, (b+1)*len(v)/blocks
		x[b], y[b] = mean(at[from:to]), mean(v[from:to])
	}
	mx, my := mean(x[:]), mean(y[:])
	var xx, xy, rest float64
	for b := range blocks {
		xx += (x[b] - mx) * (x[b] - mx)
		xy += (x[b] - mx) * (y[b] - my)
	}
	slope = xy / xx
	for b := range blocks {
		d := y[b] - my - slope*(x[b]-mx)
		rest += d * d
	}
	return slope, studentT * math.Sqrt(rest/(blocks-2)/xx)
}

// grows says whether a slope is surely above nothing, and worth it.
func grows(slope, margin float64, v []float64) bool {
	return slope > margin && slope > worth*math.Abs(mean(v))
}

func mean(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
