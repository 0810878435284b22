// Package trend tells whether something grows.
package trend

import (
	"math"
	"slices"
	"time"
)

// Point is a measured value.
type Point struct {
	At    time.Duration
	Bytes float64
}

// Trend is how a value goes over the window.
type Trend struct {
	// Growth is how much it grows over the window by a straight line through all points; Late by one through those of the
	// window's second half, or by the median of the slopes between them, if that is more: a single peak at the half's beginning, as
	// of a collection of garbage that had to wait for a CPU, bends a line a lot.
	Growth, Late float64
	// Noise is how far points are from the line, as a standard deviation.
	Noise  float64
	Points int
}

// Of fits a window of points.
func Of(points []Point) Trend {
	t := Trend{Points: len(points)}
	if len(points) < 2 {
		return t
	}
	first, last := points[0].At, points[len(points)-1].At
	window := (last - first).Seconds()
	if window <= 0 {
		return t
	}
	slope, noise := fit(points)
	t.Growth, t.Noise = slope*window, noise
	half := points
	for len(half) > 2 && half[0].At < first+(last-first)/2 {
		half = half[1:]
	}
	late, _ := fit(half)
	t.Late = max(late, median(half)) * window
	return t
}

// fit is a least-squares line.
func fit(points []Point) (slope, noise float64) {
	n := float64(len(points))
	var mx, my float64
	for _, p := range points {
		mx += p.At.Seconds() / n
		my += p.Bytes / n
	}
	var xx, xy float64
	for _, p := range points {
		dx := p.At.Seconds() - mx
		xx += dx * dx
		xy += dx * (p.Bytes - my)
	}
	if xx == 0 {
		return 0, 0
	}
	slope = xy / xx
	var rest float64
	for _, p := range points {
		d := p.Bytes - my - slope*(p.At.Seconds()-mx)
		rest += d * d
	}
	return slope, math.Sqrt(rest / n)
}

// maxCompared is how many points are compared with each other.
const maxCompared = 128

// median is that of the slopes between all points (the Theil–Sen estimator).
func median(points []Point) float64 {
	step := len(points)/maxCompared + 1
	var slopes []float64
	for i := 0; i < len(points); i += step {
		for j := i + step; j < len(points); j += step {
			if dx := (points[j].At - points[i].At).Seconds(); dx > 0 {
				slopes = append(slopes, (points[j].Bytes-points[i].Bytes)/dx)
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	n := len(slopes)
	return (slopes[(n-1)/2] + slopes[n/2]) / 2
}

// Grows says whether it grows, and still does in the second half: what has reached its size is no leak.
func (t Trend) Grows(least float64) bool {
	return t.Points >= 2 && t.Growth > max(least, 2*t.Noise) && t.Late > t.Growth/4
}

// Undecided says that it has grown, and that it is not clear whether it still does: what fills room that was made at once, as maps do, pauses
// in between, and so does a program that gets no CPU.
func (t Trend) Undecided(least float64) bool { return t.Growth > least && !t.Grows(least) }
