package forecast

import "math"

// remembered is how many earlier lives a memory holds.
const remembered = 16

// Life is how one run of a workload ended.
type Life struct {
	// Peak is the highest level it reached, as a share of the limit.
	Peak float64 `json:"peak"`
	// Killed says whether it ended because the limit was reached.
	Killed bool `json:"killed"`
}

// Memory is what the earlier lives of a workload, or of its replicas, tell about this one. The zero value is ready.
type Memory struct {
	Lives []Life `json:"lives,omitempty"`
}

// Add remembers a life; the oldest of too many is forgotten. Lives without a sensible peak are passed over.
func (m *Memory) Add(l Life) {
	if !(l.Peak >= 0) || l.Peak > 2 {
		return
	}
	m.Lives = append(m.Lives, l)
	if extra := len(m.Lives) - remembered; extra > 0 {
		m.Lives = append(m.Lives[:0], m.Lives[extra:]...)
	}
}

// odds is what the lives that were at least as high as level (a share of the limit) add to the logarithm of the odds of a
// kill: log((killed + ½) / (not killed + ½)), Jeffreys' estimate. Nothing is added when no life came as far.
func (m *Memory) odds(level float64) float64 {
	killed, survived := 0.5, 0.5
	for _, l := range m.Lives {
		switch {
		case l.Killed:
			killed++
		case l.Peak >= level:
			survived++
		}
	}
	return math.Log(killed / survived)
}
