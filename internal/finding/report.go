package finding

import (
	"cmp"
	"slices"
	"strings"
)

// Sort puts findings in the order in which people should read them: active before resolved, the worst first, then the nearest,
// then the newest.
func Sort(fs []Finding) {
	at := func(f Finding) int64 {
		if f.Forecast != nil {
			return f.Forecast.At.Unix()
		}
		return 0
	}
	slices.SortFunc(fs, func(a, b Finding) int {
		return cmp.Or(strings.Compare(string(a.State), string(b.State)), b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(at(a), at(b)),
			b.FirstSeen.Compare(a.FirstSeen), strings.Compare(a.ID, b.ID))
	})
}

// Summarize counts entities, each by its worst active finding of all; watched is how many there are.
func Summarize(watched map[string]int, all []Finding) Summary {
	var s Summary
	for _, n := range watched {
		s.Healthy += n
	}
	worst := map[Entity]int{}
	for _, f := range all {
		if f.State == Active {
			key := f.Entity
			key.Owner = nil // a pointer would make every key its own
			worst[key] = max(worst[key], f.Severity.Rank())
		}
	}
	for _, rank := range worst {
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
