package forecast

import "math"

const (
	// caution is how long it takes until most of a rise of the odds is believed, in seconds; where growth itself is young, a
	// share of its age.
	caution, youngest = 52, 1.0 / 15
	// persistence is for how long confidence stays when its reasons have gone, in times of how long growth has lasted: what
	// has grown for hours and pauses for minutes will go on.
	persistence = 0.18
	// patience is the least of that, in seconds.
	patience = 72
	// certain is the odds (of 0.8) from which on confidence stays longer, by this factor.
	certain, longer = 1.386, 5
	// forgetting is for how long confidence stays while there is no forecast at all, in seconds, and nothing how far it falls.
	forgetting, nothing = 600, -2
)

// Belief is how sure a series is, as the logarithm of odds, over time: it rises within a minute or two, and falls slowly.
type Belief struct {
	Odds  float64
	Given bool
}

// Hear takes in the odds that the evidence of a sample makes, the time since the sample before and for how long growth has
// lasted, both in seconds.
func (b *Belief) Hear(odds, passed, growing float64) {
	switch {
	case !b.Given:
		b.Odds, b.Given = odds, true
	case odds > b.Odds:
		b.Odds += (odds - b.Odds) * (1 - math.Exp(-passed/max(min(caution, youngest*growing), 1)))
	default:
		stay := max(persistence*growing, patience)
		if b.Odds > certain {
			stay *= longer
		}
		b.Odds += (odds - b.Odds) * (1 - math.Exp(-passed/stay))
	}
}

// Miss is for a sample after which there is no forecast.
func (b *Belief) Miss(passed float64) {
	if b.Given && b.Odds > nothing {
		b.Odds += (nothing - b.Odds) * (1 - math.Exp(-passed/forgetting))
	}
}

// Confidence is the probability.
func (b *Belief) Confidence() float64 { return 1 / (1 + math.Exp(-b.Odds)) }
