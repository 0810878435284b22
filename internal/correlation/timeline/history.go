package timeline

import (
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// historyPoints is how many values a History holds; a sparkline has no use for more.
const historyPoints = 60

// History is the course of one resource at a resolution that coarsens with age: when it is full, every second value goes
// and the step doubles. It takes a fixed amount of memory and always covers the whole time since its start.
type History struct {
	Start  time.Time     `json:"start"`
	Step   time.Duration `json:"step"`
	Limit  float64       `json:"limit"`
	Values []float64     `json:"values"`
}

// maxSpan bounds what a history covers: a day at 24 minutes a value says nothing about the last hour.
const maxSpan = 6 * time.Hour

// Observe notes the value of the resource at a time. Between two steps the highest value counts.
func (h *History) Observe(at time.Time, value, limit float64) {
	h.Limit = limit
	if len(h.Values) == 0 {
		h.Start, h.Step, h.Values = at, time.Second, append(h.Values, value)
		return
	}
	if at.Before(h.Start) {
		return
	}
	for at.Sub(h.Start) >= historyPoints*h.Step {
		if h.Step*historyPoints >= maxSpan {
			h.drop(at)
			break
		}
		h.coarsen()
	}
	slot := int(at.Sub(h.Start) / h.Step)
	last := h.Values[len(h.Values)-1]
	for len(h.Values) < slot {
		h.Values = append(h.Values, last) // no sample in this step: the value before stands
	}
	if slot == len(h.Values) {
		h.Values = append(h.Values, value)
	} else if value > h.Values[slot] {
		h.Values[slot] = value
	}
}

// coarsen halves the resolution.
func (h *History) coarsen() {
	n := 0
	for i := 0; i < len(h.Values); i += 2 {
		v := h.Values[i]
		if i+1 < len(h.Values) {
			v = max(v, h.Values[i+1])
		}
		h.Values[n] = v
		n++
	}
	h.Values, h.Step = h.Values[:n], 2*h.Step
}

// drop forgets the oldest values so that at fits in.
func (h *History) drop(at time.Time) {
	k := int(at.Sub(h.Start)/h.Step) - historyPoints + 1
	if k >= len(h.Values) {
		last := h.Values[len(h.Values)-1]
		h.Values = append(h.Values[:0], last)
		h.Start = at.Add(-h.Step)
		return
	}
	h.Values = append(h.Values[:0], h.Values[k:]...)
	h.Start = h.Start.Add(time.Duration(k) * h.Step)
}

// Series is the history in the form of a finding's JSON, or nil when there is none.
func (h *History) Series(resource, unit string) *finding.Series {
	if len(h.Values) < 2 {
		return nil
	}
	return &finding.Series{Resource: resource, Unit: unit, Limit: h.Limit, Start: h.Start,
		StepSeconds: h.Step.Seconds(), Values: append([]float64(nil), h.Values...)}
}

// Valid says whether a history that was stored can be gone on with.
func (h *History) Valid() bool {
	return h.Step >= time.Second && h.Step <= maxSpan && len(h.Values) <= historyPoints && !h.Start.IsZero()
}
