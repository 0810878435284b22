package correlation

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/timeline"
)

// stateVersion is that of the form below; another one is not read.
const stateVersion = 1

// state is what outlives a restart: the findings people were told, and what counters showed, so that neither is told anew.
type state struct {
	Version int              `json:"version"`
	Lives   map[string]*life `json:"lives"`
	Known   []savedSubject   `json:"known"`
}

type savedSubject struct {
	Entity   entity.Entity               `json:"entity"`
	Timeline timeline.State              `json:"timeline"`
	History  map[string]timeline.History `json:"history,omitempty"`
	Heard    time.Time                   `json:"heard"`
}

// Save returns what has to be stored to go on after a restart.
func (e *Engine) Save() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := state{Version: stateVersion, Lives: e.lives}
	for at := e.recent.Back(); at != nil; at = at.Prev() {
		s := at.Value.(*subject)
		saved := savedSubject{Entity: s.entity, Timeline: s.timeline.State(), Heard: s.heard}
		if len(s.outlooks) > 0 {
			saved.History = map[string]timeline.History{}
			for name, o := range s.outlooks {
				saved.History[name] = o.history
			}
		}
		st.Known = append(st.Known, saved)
	}
	b, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("encode the engine's state: %w", err)
	}
	return b, nil
}

// Restore takes up what Save returned, before the first Observe. Findings of patterns that no longer exist are left out.
// On an error nothing is restored. Everything restored is told once more, so that those who listen only now have it.
func (e *Engine) Restore(now time.Time, b []byte) error {
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("decode the engine's state: %w", err)
	}
	if st.Version != stateVersion {
		return fmt.Errorf("the engine's state has version %d, want %d", st.Version, stateVersion)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, l := range st.Lives {
		if l != nil && e.patterns[l.Pattern] != nil && len(e.lives) < e.settings.MaxFindings {
			l.changed, l.Held = l.Stage != "", now // time to look again before anything lapses
			e.lives[id] = l
		}
	}
	for _, saved := range st.Known {
		if saved.Entity.ID == "" || len(e.subjects) >= e.settings.MaxEntities {
			continue
		}
		s := e.subject(saved.Heard, saved.Entity)
		s.timeline = timeline.Restore(saved.Timeline)
		for name, h := range saved.History {
			if res, ok := resources[name]; ok {
				s.outlooks[name] = &outlook{resource: res, history: h}
			}
		}
	}
	return nil
}
