package forecast

import "math"

// EvidenceSize is how many numbers the confidence rests on.
const EvidenceSize = 7

// Evidence is what the confidence rests on: logarithms of ratios, so that it doesn't matter how large a workload is or how
// fast its time runs, each between −3 and 3. In order:
//   - what was gained and kept, over what is left to the limit: what has come far will probably come the rest of the way;
//   - for how long the level has not moved, over the longest it did so before (or what its rate makes one expect);
//   - the same over the time that is left;
//   - the latest rate over the average one: growth that slows down may stop;
//   - the limit over what is left of it;
//   - the same once more where less than an eighth is left: few limits are set that close to a workload's real need;
//   - how long most of the gain took over how long it might have taken: what shoots up after a long rest is often a burst.
type Evidence [EvidenceSize]float64

// Calibration turns evidence into the logarithm of the odds of a kill: a constant, and a weight for each number.
type Calibration [EvidenceSize + 1]float64

// Weights are fitted on recorded runs: go run ./test/bench/forecast -calibrate.
var Weights = Calibration{-4.331, 0.640, -0.004, -0.677, 1.503, 1.605, 0.136, 1.724}

// Odds returns the logarithm of the odds.
func (c *Calibration) Odds(e *Evidence) float64 {
	z := c[0]
	for i, x := range e {
		z += c[i+1] * x
	}
	return z
}

// DoubtSize is how many numbers the width of the interval rests on.
const DoubtSize = 6

// Doubt is what the width of the interval rests on, as Evidence: the standard error of the rate over the rate; the scatter
// over what is left to the limit; the longest stay, the time observed and the present stay over the time left; and how far
// the rates of a shorter and a longer past are from each other.
type Doubt [DoubtSize]float64

// Width turns doubt into how far a side of the interval is away, as the logarithm of a factor on the time left.
type Width [DoubtSize + 1]float64

// Widths are those of the earlier and of the later side, fitted so that a tenth of the kills comes before and a tenth after.
var Widths = [2]Width{{1.901, 0.148, 1.039, -0.201, 0.375, -0.325, -0.070}, {-0.100, 0.140, 0.285, 0.112, 0.556, 0.076, 0.114}}

// Of returns the logarithm of the factor.
func (w *Width) Of(d *Doubt) float64 {
	z := w[0]
	for i, x := range d {
		z += w[i+1] * x
	}
	return min(max(math.Exp(z), 0.02), 2.5)
}

// evidence of growth that has headroom left and would take it up in eta seconds.
func (g *growth) evidence(limit, headroom, eta float64) Evidence {
	return Evidence{
		ratio(g.gain, headroom),
		max(0, ratio(g.stall, max(g.usual, g.step/g.slope))),
		ratio(g.stall, eta),
		ratio(g.short, g.gain/g.since),
		ratio(limit, headroom),
		max(0, ratio(0.12*limit, headroom)),
		ratio(g.active, g.since),
	}
}

func (g *growth) doubt(headroom, eta, noise float64) Doubt {
	return Doubt{
		ratio(g.err+0.02*g.slope, g.slope),
		ratio(g.scatter+noise+0.02*headroom, headroom),
		ratio(g.usual+0.05*eta, eta),
		math.Abs(ratio(g.short, max(g.long, 1e-9))),
		ratio(g.since, eta),
		ratio(g.stall+0.05*eta, eta),
	}
}

// ratio is the logarithm of a/b, kept between −3 and 3, where one is 20 times the other.
func ratio(a, b float64) float64 {
	if !(a > 0) {
		return -3
	}
	if !(b > 0) {
		return 3
	}
	return min(max(math.Log(a/b), -3), 3)
}
