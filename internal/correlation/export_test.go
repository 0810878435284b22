package correlation

import "time"

// Rouse has the next look be one at everything that a finding is about, as if anything could have changed.
func (e *Engine) Rouse() {
	for _, s := range e.subjects {
		s.until = time.Time{}
	}
}
