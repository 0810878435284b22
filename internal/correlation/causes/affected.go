package causes

import (
	"cmp"
	"slices"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// Bounds of what a finding names as affected: a finding is one record. maxNames is in bytes, and in whole the names take less than twice that.
const (
	maxAffected = 500
	maxSpaces   = 250
	maxNames    = 32 << 10
)

// affect adds to a finding what its effects are about, so that who asks about that is told the finding. When there are too many, more
// of the same go first: of each workload one is named before any other.
func affect(f *finding.Finding, effects []*finding.Finding) {
	known := map[finding.Entity]bool{key(f.Entity): true}
	for _, e := range f.Affected {
		known[key(e)] = true
	}
	type ranked struct {
		entity finding.Entity
		rank   int
	}
	var all []ranked
	ranks := map[finding.Entity]int{} // by workload
	for _, effect := range effects {
		e := effect.Entity
		if known[key(e)] {
			continue
		}
		known[key(e)] = true
		workload := finding.Entity{Kind: e.Kind, Namespace: e.Namespace}
		if e.Owner != nil {
			workload.Kind, workload.Name = e.Owner.Kind, e.Owner.Name
		}
		e = finding.Entity{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name, Container: e.Container, UID: e.UID, Owner: e.Owner}
		all = append(all, ranked{e, ranks[workload]})
		ranks[workload]++
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	f.AffectedTotal += len(all)
	f.Affected = slices.Clip(f.Affected) // another engine's finding has them too
	left := maxNames
	for _, r := range all {
		if left -= size(r.entity); left < 0 || len(f.Affected) >= maxAffected {
			break
		}
		f.Affected = append(f.Affected, r.entity)
	}
}

// Concern adds to a finding the namespaces that it matters to: it is about something that is in none.
func Concern(f *finding.Finding, spaces []string) {
	f.Affected = slices.Clip(f.Affected)
	for _, name := range spaces {
		space := finding.Entity{Kind: string(entity.Namespace), Name: name}
		if slices.ContainsFunc(f.Affected, func(e finding.Entity) bool { return key(e) == space }) {
			continue
		}
		f.AffectedTotal++
		if len(f.Affected) < maxAffected+maxSpaces {
			f.Affected = append(f.Affected, space)
		}
	}
}

// key is what tells one entity from another.
func key(e finding.Entity) finding.Entity {
	return finding.Entity{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name, Container: e.Container}
}

// size is how long an entity's names are, in bytes.
func size(e finding.Entity) int {
	n := len(e.Kind) + len(e.Namespace) + len(e.Name) + len(e.Container) + len(e.UID)
	if e.Owner != nil {
		n += len(e.Owner.Kind) + len(e.Owner.Name)
	}
	return n
}
