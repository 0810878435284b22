package finding

import "time"

// skew is how far a finding's time may lie ahead of here because clocks differ.
const skew = 10 * time.Second

// Supersedes says whether a finding is to take the place of what is known of it: findings may come out of order, after a retry. Its
// end may be told with an earlier LastSeen than is known, by a source that was killed and took up an older state. What is known of a
// time that is yet to come was told before a clock was set back: then nothing would be later for as long as that was.
func (f *Finding) Supersedes(known *Finding, now time.Time) bool {
	ends := f.State == Resolved && known.State == Active
	if ends && f.FirstSeen.Equal(known.FirstSeen) || known.LastSeen.Sub(now) > skew {
		return true
	}
	if c := f.LastSeen.Compare(known.LastSeen); c != 0 {
		return c > 0
	}
	return ends || f.State == known.State
}
