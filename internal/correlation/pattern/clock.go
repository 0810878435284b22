package pattern

import (
	"math"
	"time"
)

const (
	// near is by how much of itself the time left may change before what was said of it is said anew: by far less than forecasts are
	// exact to.
	near = 0.01
	// nearest bounds that.
	nearest = 10 * time.Second
)

// clock tells conditions and texts the time, and notes until when what they make of it stays as it is.
type clock struct {
	now, until time.Time
	// triggered is the time of the latest trigger; zero as long as none was seen.
	triggered time.Time
}

func startClock(now time.Time) *clock { return &clock{now: now, until: now.Add(math.MaxInt64)} }

// keep notes that something stays as it is until then, and not longer.
func (c *clock) keep(until time.Time) {
	if until.Before(c.until) {
		c.until = until
	}
}

// trigger notes the time of a trigger.
func (c *clock) trigger(at time.Time) {
	if at.After(c.triggered) {
		c.triggered = at
	}
}

// since is how long ago something was (s), which is another answer every moment; without end when it never was.
func (c *clock) since(at time.Time) float64 {
	if at.IsZero() {
		return math.Inf(1)
	}
	c.keep(c.now)
	return c.now.Sub(at).Seconds()
}

// after is how long after the latest trigger something was (s), which does not change with time; without end when there was none.
func (c *clock) after(at time.Time) float64 {
	if c.triggered.IsZero() {
		return math.Inf(1)
	}
	return at.Sub(c.triggered).Seconds()
}

// left is the time until something happens; less than 0 when it should have.
func (c *clock) left(at time.Time) time.Duration {
	left := at.Sub(c.now)
	c.keep(c.now.Add(min(max(0, time.Duration(near*float64(left))), nearest)))
	return left
}
