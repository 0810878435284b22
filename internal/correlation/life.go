package correlation

import (
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// stage is where a finding is in its life: nothing → active → resolved → nothing, or active again. Before it becomes active
// its conditions must hold for a while: it is pending, and nobody is told. An active one is kept for a while after they
// ceased to hold. Both keep it from flapping.
type stage string

const (
	active   stage = "active"
	resolved stage = "resolved"
)

// life is one pattern that holds, or held, for one entity.
type life struct {
	Pattern string    `json:"pattern"`
	Entity  entity.ID `json:"entity"`
	Stage   stage     `json:"stage,omitempty"` // empty: never told
	Since   time.Time `json:"since"`           // of the stage
	// Pending is since when the conditions hold without being told yet; zero when they do not, or are.
	Pending time.Time `json:"pending,omitzero"`
	Held    time.Time `json:"held"` // when the conditions last held
	// Finding is what people are told, as of the last time the conditions held.
	Finding finding.Finding `json:"finding"`
	// First is the forecast as it was first told: what a prediction is measured by.
	First *finding.Forecast `json:"first,omitempty"`
	// ToldAt is when the finding was last told, and ToldEvent when it was said then that the predicted event would happen.
	ToldAt    time.Time `json:"toldAt"`
	ToldEvent time.Time `json:"toldEvent,omitzero"`
	// Adopted says that another engine found it.
	Adopted bool `json:"adopted,omitempty"`
	// shown is what of the finding makes it worth telling again when it differs.
	shown shown
	// changed asks for the finding to be told.
	changed bool
}

// hold notes that the conditions hold now. wait is for how long they must until people are told.
func (l *life) hold(now time.Time, wait time.Duration, f finding.Finding) {
	l.Held = now
	if l.Stage != active {
		if l.Pending.IsZero() {
			l.Pending = now
		}
		if now.Sub(l.Pending) < wait {
			if l.Stage == "" {
				l.Finding.Severity = f.Severity
			}
			return
		}
		l.Stage, l.Since, l.Pending, l.First = active, now, time.Time{}, nil
		l.Finding = finding.Finding{ID: l.Finding.ID, FirstSeen: now}
		if f.Forecast != nil {
			first := *f.Forecast
			l.First = &first
		}
		l.changed = true
	}
	before := l.Finding
	f.ID, f.FirstSeen, f.State = before.ID, before.FirstSeen, finding.Active
	if f.Forecast == nil { // the time left, in the text of a prediction, is as of the time when it was written
		f.LastSeen = now
	}
	f.Outcome, f.Causes, f.Effects = before.Outcome, before.Causes, before.Effects
	f.Affected, f.AffectedTotal = before.Affected, before.AffectedTotal
	l.Finding, l.Adopted = f, false
}

// weight is how bad what a finding tells is, by rank; 0 when it is over.
func (l *life) weight() int {
	if l.Stage == resolved && l.Pending.IsZero() {
		return 0
	}
	return max(l.Finding.Severity.Rank(), finding.Info.Rank())
}

// shown are the parts of a finding that are worth telling when they differ.
type shown struct {
	severity          finding.Severity
	evidence, effects int
	outcome           bool
}

// compare asks for the finding to be told when it is not what was told before.
func (l *life) compare() {
	now := shown{l.Finding.Severity, len(l.Finding.Evidence), len(l.Finding.Effects), l.Finding.Outcome != nil}
	if l.Stage == active && now != l.shown {
		l.shown, l.changed = now, true
	}
}

const (
	// retell is how far, as a share of the time left, a prediction may be off what people were told before it is told again.
	retell = 0.05
	// atMost is how often it is told for this reason at most.
	atMost = time.Second
)

// stale says whether the time left is no longer what people read in the finding's title: because the forecast moved, or
// because time did.
func (l *life) stale(now time.Time) bool {
	if l.Finding.Forecast == nil || !l.Held.Equal(now) || l.Finding.LastSeen.Before(now) || now.Sub(l.ToldAt) < atMost {
		return false
	}
	said, left := l.ToldEvent.Sub(l.ToldAt), l.Finding.Forecast.At.Sub(now)
	if said <= 0 && left <= 0 {
		return false // "any moment now", as before
	}
	return (said - left).Abs() > max(time.Duration(retell*float64(left)), atMost/2)
}

// lapse notes that the conditions do not hold now. It returns false when the life is over.
func (l *life) lapse(now time.Time, p *pattern.Pattern, retention time.Duration) bool {
	l.Pending = time.Time{}
	keep := time.Duration(p.Keep)
	if l.Adopted {
		keep = adoptedFor // it was kept there
	}
	if l.Stage == active && now.Sub(l.Held) >= keep {
		l.resolve(now)
	}
	return l.Stage == active || l.Stage == resolved && now.Sub(l.Since) < retention
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
	l.changed, l.ToldAt, l.ToldEvent = false, now, time.Time{}
	if f := l.Finding.Forecast; f != nil {
		l.ToldEvent = f.At
	}
}

// rewind moves what lies after now to now.
func (l *life) rewind(now time.Time) {
	for _, at := range []*time.Time{&l.Since, &l.Pending, &l.Held, &l.ToldAt, &l.Finding.FirstSeen} {
		*at = earlier(*at, now)
	}
}
