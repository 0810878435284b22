package finding

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Sort puts findings in the order in which people should read them; see Compare.
func Sort(fs []Finding) {
	slices.SortFunc(fs, func(a, b Finding) int { return Compare(&a, &b) })
}

// Compare orders findings as people should read them: active before resolved, the worst first, then the nearest, then the
// newest. What is there already is nearer than anything that is predicted.
func Compare(a, b *Finding) int {
	at := func(f *Finding) time.Time {
		if f.Forecast != nil {
			return f.Forecast.At
		}
		return time.Time{}
	}
	return cmp.Or(strings.Compare(string(a.State), string(b.State)), b.Severity.Rank()-a.Severity.Rank(), at(a).Compare(at(b)),
		b.FirstSeen.Compare(a.FirstSeen), strings.Compare(a.ID, b.ID))
}

// Summarize counts entities, each by its worst active finding of all; watched is how many there are.
func Summarize(watched map[string]int, all []Finding) Summary {
	t := Tally{}
	for i := range all {
		t.Add(&all[i])
	}
	return t.Summary(watched)
}

// Tally counts entities by the rank of their worst active finding. The empty value is ready for use.
type Tally map[Entity]int

// Add counts a finding.
func (t Tally) Add(f *Finding) {
	if f.State == Active {
		key := f.Entity
		key.Owner = nil // a pointer would make every key its own
		t[key] = max(t[key], f.Severity.Rank())
	}
}

// Summary returns what was counted; watched is how many entities there are, by kind.
func (t Tally) Summary(watched map[string]int) Summary {
	var s Summary
	for _, n := range watched {
		s.Healthy += n
	}
	for _, rank := range t {
		switch rank {
		case Critical.Rank():
			s.Critical++
		case Warning.Rank():
			s.Warning++
		}
	}
	s.Healthy = max(s.Healthy-s.Warning-s.Critical, 0)
	return s
}
