package correlation

import (
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// lately is how long before an event a prediction may have been withdrawn and still count as having foreseen it: at the
// limit a workload can live on for a minute with flat usage.
const lately = 2 * time.Minute

// predictionOf returns the prediction that a diagnosis about the subject makes true, or nil.
func (e *Engine) predictionOf(s *subject, c *pattern.Confirmation, at time.Time) *life {
	l := e.lives[ID(c.Prediction, s.entity.ID)]
	if l == nil || l.First == nil || l.Finding.FirstSeen.After(at) {
		return nil
	}
	if l.Stage == resolved && at.Sub(l.Held) > lately {
		return nil
	}
	return l
}

// foreseen says in a sentence how right the prediction was that the diagnosis makes true.
func (e *Engine) foreseen(s *subject, p *pattern.Pattern, c *pattern.Confirmation, known *life) string {
	var o *finding.Outcome
	if known != nil && known.Finding.Outcome != nil {
		o = known.Finding.Outcome
	} else if at := s.latest(p, c.Shows); !s.vague(p, c) {
		if pl := e.predictionOf(s, c, at); pl != nil {
			o = outcome(pl, at)
		}
	}
	if o == nil {
		return ""
	}
	off := "to the second"
	if d := time.Duration(o.ErrorSeconds * float64(time.Second)).Round(time.Second); d > 0 {
		off = finding.FormatDuration(d) + " sooner than first said"
	} else if d < 0 {
		off = finding.FormatDuration(-d) + " later than first said"
	}
	within := "within"
	if !o.WithinInterval {
		within = "outside"
	}
	return fmt.Sprintf("It was foreseen %s before: it came %s, %s the interval given.",
		finding.FormatDuration(o.ActualAt.Sub(o.MadeAt)), off, within)
}

// confirm joins a new diagnosis with the prediction that preceded it: the diagnosis says how right it was, and the prediction,
// having come true, is over.
func (e *Engine) confirm(now time.Time, s *subject, m match, c *pattern.Confirmation) {
	l, at := m.life, s.latest(m.pattern, c.Shows)
	if predicts := e.patterns[c.Prediction]; predicts != nil {
		if o := s.outlooks[predicts.Forecast.Resource]; o != nil && !o.resource.dated {
			e.end(s, o, at, true)
		}
	}
	pl := e.predictionOf(s, c, at)
	if pl == nil || slices.Contains(l.Finding.Causes, pl.Finding.ID) {
		return
	}
	if l.Finding.Outcome == nil && !s.vague(m.pattern, c) {
		l.Finding.Outcome = outcome(pl, at)
	}
	l.Finding.Causes = append(slices.Clip(l.Finding.Causes), pl.Finding.ID)
	l.changed = true
	pl.Finding.Effects = []string{l.Finding.ID}
	pl.resolve(now)
	pl.changed = pl.Stage == resolved // also where it was withdrawn just before: it came true after all
}

func outcome(pl *life, at time.Time) *finding.Outcome {
	f := pl.First
	return &finding.Outcome{Prediction: pl.Finding.ID, PredictedAt: f.At, MadeAt: pl.Finding.FirstSeen, ActualAt: at,
		ErrorSeconds:   f.At.Sub(at).Seconds(),
		WithinInterval: !at.Before(f.Earliest) && !at.After(f.Latest)}
}

// vague says that it is not known when what a diagnosis' triggers counted happened: how right a prediction was cannot be
// told then.
func (s *subject) vague(p *pattern.Pattern, of *pattern.Confirmation) bool {
	counted := false
	for _, c := range p.Signals {
		events := s.timeline.Events(time.Time{}, c.Any...)
		if !of.Shows(c) || len(events) == 0 {
			continue
		}
		if !events[len(events)-1].Vague() {
			return false
		}
		counted = true
	}
	return counted
}

// latest is the time of the first event of the latest run of those of a diagnosis' triggers that count: when it happened. Of several
// triggers that tell the same, the first to do so is the most exact; one that tells of an earlier time only has not told of this yet.
func (s *subject) latest(p *pattern.Pattern, counts func(*pattern.Clause) bool) time.Time {
	var at time.Time
	var each []time.Time
	for _, c := range p.Signals {
		if !counts(c) {
			continue
		}
		events := s.timeline.Events(time.Time{}, c.Any...)
		if n := len(events); n > 0 {
			each = append(each, events[n-1].First)
		}
	}
	if len(each) > 0 {
		newest := slices.MaxFunc(each, time.Time.Compare)
		each = slices.DeleteFunc(each, func(t time.Time) bool { return newest.Sub(t) > late })
		at = slices.MinFunc(each, time.Time.Compare)
	}
	if !at.IsZero() {
		return at
	}
	// Of a state, such as a file system that is full, the reading that shows it is the time.
	for _, c := range p.Signals {
		for _, kind := range c.Any {
			if r, ok := s.timeline.Latest(kind); ok && counts(c) && r.Time.After(at) {
				at = r.Time
			}
		}
	}
	return at
}
