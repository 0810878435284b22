package forecast

// swings remembers what was taken and given back again: a garbage collector's cycles, waves of load, bursts, restarts. What
// has been given back before will probably be given back again, so that a rise counts as growth only in so far as it goes
// beyond what earlier swings explain.
type swings struct {
	Falling bool    // the last confirmed turn was down
	High    float64 // the highest since the last turn up, and when
	HighAt  float64
	Low     float64 // the lowest since the last turn down, and when
	LowAt   float64
	Floor   float64 // the last confirmed low, and when: from here the present rise began
	FloorAt float64
	Count   int     // falls so far
	Depth   float64 // how deep a fall is: the latest count most
	Rise    float64 // how long a rise takes, in seconds
}

// observe takes a level in; turn is how far it must move back to count as a turn.
func (s *swings) observe(t, level, turn float64) {
	if s.Falling {
		if level < s.Low {
			s.Low, s.LowAt = level, t
		}
		if level > s.Low+turn {
			s.fell()
			s.Falling, s.High, s.HighAt = false, level, t
		}
		return
	}
	if level > s.High {
		s.High, s.HighAt = level, t
	}
	if level < s.High-turn {
		s.Falling, s.Low, s.LowAt = true, level, t
	}
}

// fell is called when a fall is over.
func (s *swings) fell() {
	depth, rise := s.High-s.Low, s.HighAt-s.FloorAt
	if s.Count == 0 {
		s.Depth, s.Rise = depth, rise
	} else {
		s.Depth, s.Rise = max(depth, (s.Depth+depth)/2), max(rise, (s.Rise+rise)/2)
	}
	s.Count++
	s.Floor, s.FloorAt = s.Low, s.LowAt
}

// explained is how much of the present rise earlier swings explain: all that they were deep, as long as it doesn't last
// longer than theirs did.
func (s *swings) explained(t float64) float64 {
	if s.Count == 0 {
		return 0
	}
	overdue := (t - s.FloorAt) / max(s.Rise, 1)
	return s.Depth * min(1, max(0, 2.5-overdue))
}

// regular says whether swings are going on: more than one, and the next not overdue.
func (s *swings) regular(t float64) bool { return s.Count >= 2 && t-s.FloorAt < 2.5*s.Rise }
