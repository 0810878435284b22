package correlation

import (
	"time"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// Relate says what depends on what. links is asked whenever there are findings, and only then; it must not call the engine.
func (e *Engine) Relate(links func() causes.Links) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.links = links
}

// explain puts causes before symptoms: what is only the effect of something else is not told, or, where it was told before its
// cause was known, is over.
func (e *Engine) explain(now time.Time, held map[string]bool) {
	if e.links == nil {
		e.namePeers(held)
		return
	}
	var all []*finding.Finding
	of := map[*finding.Finding]*life{}
	for id, l := range e.lives {
		if l.Stage != active {
			continue
		}
		if held[id] && !l.Adopted {
			l.Finding.Effects, l.Finding.Affected, l.Finding.AffectedTotal = nil, nil, 0 // they are found anew
		}
		all = append(all, &l.Finding)
		of[&l.Finding] = l
	}
	if len(all) == 0 {
		return
	}
	links := e.links()
	for _, f := range all {
		if held[f.ID] {
			causes.NamePeer(f, links)
		}
	}
	for cause, effects := range causes.Relate(all, links, e.patterns) {
		root := of[cause]
		if held[root.Finding.ID] { // the others have it in their text already
			causes.Explain(cause, effects)
		}
		for _, f := range effects {
			l := of[f]
			if l.ToldAt.Before(l.Since) || l.ToldAt.IsZero() {
				l.Stage, l.Pending, l.changed = "", now, false // nobody was told, and nobody is as long as there is the cause
				continue
			}
			l.Finding.Causes = []string{cause.ID}
			l.resolve(now)
			l.Pending = now // it may hold longer than its cause
		}
	}
}

// namePeers tells whom entities want to reach by the names of pods that have these addresses, as far as they are known here: nobody
// knows more.
func (e *Engine) namePeers(held map[string]bool) {
	var links causes.Links
	for _, l := range e.lives {
		if l.Finding.Peer == nil || !held[l.Finding.ID] {
			continue
		}
		if links == nil {
			links = e.addresses()
		}
		causes.NamePeer(&l.Finding, links)
	}
}

// addresses are the pods of this node by their addresses.
func (e *Engine) addresses() causes.Links {
	latest := map[string]*subject{} // an address is given to another pod when one has ended
	for _, s := range e.subjects {
		at := s.entity.Address
		if at != "" && s.entity.Kind == entity.Pod && !s.gone && (latest[at] == nil || s.heard.After(latest[at].heard)) {
			latest[at] = s
		}
	}
	links := causes.Links{}
	for at, s := range latest {
		links[causes.At(at)] = []causes.Ref{causes.Of(s.entity.Finding())}
	}
	return links
}

// Affected are the entities of which something holds now, whether it is told or is the effect of something that is.
func (e *Engine) Affected() []finding.Entity {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []finding.Entity
	for _, l := range e.lives {
		if l.Finding.Entity.Name != "" && (l.Stage == active || !l.Pending.IsZero()) && l.Finding.Severity != finding.Info {
			all = append(all, l.Finding.Entity)
		}
	}
	return all
}
