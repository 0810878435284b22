package correlation

import (
	"math"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// stage is where a finding is in its life: nothing → pending → active → resolved → nothing. A pending finding whose
// conditions cease to hold was never told and leaves no trace; an active one is kept for a while, so that it does not flap.
type stage string

const (
	pending  stage = "pending"
	active   stage = "active"
	resolved stage = "resolved"
)

// life is one pattern that holds, or held, for one entity.
type life struct {
	Pattern string          `json:"pattern"`
	Entity  entity.ID       `json:"entity"`
	Stage   stage           `json:"stage"`
	Since   time.Time       `json:"since"` // of the stage
	Held    time.Time       `json:"held"`  // when the conditions last held
	Finding finding.Finding `json:"finding"`
	// First is the forecast as it was first told: what a prediction is measured by.
	First *finding.Forecast `json:"first,omitempty"`
	// Told is the finding as it was last told, and ToldAt when; what differs too little is not told again.
	ToldAt       time.Time         `json:"toldAt"`
	ToldForecast *finding.Forecast `json:"toldForecast,omitempty"`
	// changed asks for the finding to be told.
	changed bool
}

// hold notes that the conditions hold now.
func (l *life) hold(now time.Time, p *pattern.Pattern, f finding.Finding) {
	l.Held = now
	f.ID, f.FirstSeen, f.LastSeen, f.Outcome = l.Finding.ID, l.Finding.FirstSeen, now, l.Finding.Outcome
	if l.Stage == resolved {
		l.Stage, l.Since, l.First, f.Outcome = pending, now, nil, nil
	}
	if l.Stage == pending {
		f.FirstSeen = now
	}
	f.State = finding.Active
	before := l.Finding
	l.Finding = f
	switch {
	case l.Stage == pending && now.Sub(l.Since) >= time.Duration(p.For):
		l.Stage, l.Since, l.changed = active, now, true
		if f.Forecast != nil {
			first := *f.Forecast
			l.First = &first
		}
	case l.Stage == active && (before.Severity != f.Severity || len(before.Evidence) != len(f.Evidence) || l.moved(now)):
		l.changed = true
	}
}

// moved says whether the forecast differs from what people were last told by more than a tenth of the time left.
func (l *life) moved(now time.Time) bool {
	if l.Finding.Forecast == nil || l.ToldForecast == nil {
		return l.Finding.Forecast != nil
	}
	left := math.Abs(l.ToldForecast.At.Sub(now).Seconds())
	return math.Abs(l.Finding.Forecast.At.Sub(l.ToldForecast.At).Seconds()) > 0.1*max(left, 10)
}

// lapse notes that the conditions do not hold now. It returns false when the life is over.
func (l *life) lapse(now time.Time, p *pattern.Pattern, retention time.Duration) bool {
	switch l.Stage {
	case pending:
		return false
	case active:
		if now.Sub(l.Held) >= time.Duration(p.Keep) {
			l.resolve(now)
		}
	case resolved:
		return now.Sub(l.Since) < retention
	}
	return true
}

// resolve ends the active time of a finding.
func (l *life) resolve(now time.Time) {
	if l.Stage != active {
		return
	}
	l.Stage, l.Since, l.changed = resolved, now, true
	l.Finding.State = finding.Resolved
}

// told notes that people have the finding as it is now.
func (l *life) told(now time.Time) {
	l.changed, l.ToldAt, l.ToldForecast = false, now, nil
	if f := l.Finding.Forecast; f != nil {
		copied := *f
		l.ToldForecast = &copied
	}
}
