// Package forecast says when a resource will reach its limit: the time, an interval, and how sure that is, or why it says
// nothing. It is pure: no clock, no goroutines, no pdata. docs/forecasting.md explains the method.
package forecast

import (
	"math"
	"time"
)

// Coverage is the probability with which the event lies between Earliest and Latest, given that it happens.
const Coverage = 0.8

// Needed is how many samples a series must have before it says anything.
const Needed = 12

// Sample is one reading of a resource that has a limit.
type Sample struct {
	Time time.Time
	// Used is what is taken and cannot be given back on demand, Limit where it ends; both in one unit. For memory that is
	// anonymous + shared + unreclaimable kernel memory, never usage or working set: page cache gives way.
	Used, Limit float64
	// What follows is evidence that only some sources have; 0 where they don't.
	// MajorFaults counts pages that had to be read from disk again, Refusals how often the limit was hit. Both only grow.
	MajorFaults, Refusals float64
}

// Forecast is what a series says of the future after a sample. At is zero when it says nothing; Reason then tells why.
type Forecast struct {
	At, Earliest, Latest time.Time
	// Confidence is the probability that the limit is reached at all if nothing changes (0 to 1).
	Confidence float64
	// Rate is the present growth, in units per second.
	Rate float64
	// Samples is how many samples there are, of the Needed ones.
	Samples int
	// Growing is for how long most of the growth has lasted.
	Growing time.Duration
	// Reason says what the prediction rests on, or why there is none.
	Reason string
	// Evidence is what Confidence rests on, Doubt what the interval does.
	Evidence Evidence
	Doubt    Doubt
}

// Predicts says whether there is a prediction.
func (f Forecast) Predicts() bool { return !f.At.IsZero() }

// silent is a forecast that says nothing, and why.
func silent(samples int, reason string) Forecast {
	return Forecast{Samples: samples, Reason: reason}
}

// valid says whether a sample can be used at all: absurd input never makes a prediction.
func (s Sample) valid() bool {
	return !s.Time.IsZero() && s.Used >= 0 && s.Used < math.MaxInt64 && s.Limit > 0 && s.Limit < math.MaxInt64
}
