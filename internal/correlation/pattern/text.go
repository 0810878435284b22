package pattern

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// story is what the texts of a pattern are told over.
type story struct {
	pattern *Pattern
	in      Input
	clock   *clock
	matched map[string]*seen
	// confirms are the predictions that came true.
	confirms []*Confirmation
}

// Entity is what the finding is about.
func (s *story) Entity() finding.Entity { return s.in.Entity.Finding() }

// CgroupPath is where the entity is accounted, below the cgroup mount.
func (s *story) CgroupPath() string { return s.in.Entity.CgroupPath }

// CgroupProcs is the file that lists the entity's processes, as a word of a shell command; empty where it is not known.
func (s *story) CgroupProcs() string {
	switch e := s.in.Entity; {
	case e.CgroupPath == "":
		return ""
	case e.CgroupVersion == "1":
		return Quote("/sys/fs/cgroup/pids" + e.CgroupPath + "/cgroup.procs")
	default:
		return Quote("/sys/fs/cgroup" + e.CgroupPath + "/cgroup.procs")
	}
}

// Guaranteed says whether an entity is of a pod that requests just what its limits are, by where the kubelet accounts it. Kubernetes takes no
// change in place that would make it another's (its QoS class): limits and requests have to be changed together.
func (s *story) Guaranteed() bool {
	path := s.in.Entity.CgroupPath
	return strings.Contains(path, "kubepods") && !strings.Contains(path, "burstable") && !strings.Contains(path, "besteffort")
}

// InNetwork begins a shell command that is about a container's own network, on its machine: in the network namespace of the container's
// first process. It is empty for what shares the machine's network, or where the processes are not known.
func (s *story) InNetwork() string {
	procs := s.CgroupProcs()
	if s.in.Entity.Kind != entity.Container || procs == "" {
		return ""
	}
	return "nsenter -n -t $(head -1 " + procs + ") "
}

// Forecast is the prediction's forecast; nil in a diagnosis.
func (s *story) Forecast() *finding.Forecast { return s.in.Forecast }

// Rate is the forecast's growth, per second.
func (s *story) Rate() float64 { return s.in.Rate }

// Reached says how the forecast came about.
func (s *story) Reached() string { return s.in.Reached }

// Has says whether a reading is known.
func (s *story) Has(kind string) bool {
	_, ok := s.in.Timeline.Values()[kind]
	return ok
}

// Reading is the latest reading of a kind; NaN when it is not known.
func (s *story) Reading(kind string) float64 {
	if v, ok := s.in.Timeline.Values()[kind]; ok {
		return v
	}
	return math.NaN()
}

// Ratio is one reading over another; NaN when either is not known.
func (s *story) Ratio(of, over string) float64 { return s.Reading(of) / s.Reading(over) }

// Increase is how much one counter grew over how much another did, between the last two readings.
func (s *story) Increase(of, over string) float64 {
	inc := s.in.Timeline.Increases()
	return inc[of] / inc[over]
}

// Foreseen says how right the preceding prediction was; empty where there was none.
func (s *story) Foreseen() string {
	for _, c := range s.confirms {
		if s.in.Foreseen == nil {
			break
		}
		if said := s.in.Foreseen(c); said != "" {
			return said
		}
	}
	return ""
}

// Evicted are the pods of a node that would be evicted first for want of memory.
func (s *story) Evicted() []Candidate {
	if s.in.Evicted == nil {
		return nil
	}
	s.clock.keep(s.in.Now) // what is observed of others is not waited for
	return s.in.Evicted()
}

// Clause is what a clause saw; nil when it did not match.
func (s *story) Clause(id string) (*seen, error) { return s.matched[id], s.pattern.known(id) }

// Most is the largest sum of those clauses that matched: how often it happened, if each of several layers counts.
func (s *story) Most(ids ...string) (float64, error) {
	most := 0.0
	for _, id := range ids {
		if c := s.matched[id]; c != nil {
			most = max(most, c.Sum)
		}
	}
	return most, s.pattern.known(ids...)
}

// Fact is an attribute of the latest event that a clause saw; empty where there is none.
func (s *story) Fact(id, attribute string) (string, error) {
	if c := s.matched[id]; c != nil {
		return c.Attributes[attribute], nil
	}
	return "", s.pattern.known(id)
}

// In is the time from now.
func (s *story) In(t time.Time) time.Duration { return s.clock.left(t) }

// RoomierLimit proposes a memory limit: half as much again, and at least 100 MiB more, in whole MiB. (The autoscaler's rule,
// the larger of 20 % and 100 MiB, is known to be too small and to loop.)
func (s *story) RoomierLimit() float64 {
	limit := s.Reading("memory.limit")
	return math.Ceil(max(limit*1.5, limit+100<<20)/(1<<20)) * (1 << 20)
}

// Buys is how long the room between the present limit and another one lasts at the present rate.
func (s *story) Buys(limit float64) time.Duration {
	seconds := (limit - s.Reading("memory.limit")) / s.in.Rate
	if !(seconds > 0) || seconds > 1e9 {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// texts are the functions of the templates.
var texts = template.FuncMap{
	"bytes":    finding.FormatBytes,
	"percent":  func(ratio float64) string { return fmt.Sprintf("%.0f%%", ratio*100) },
	"number":   func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"whole":    func(v float64) string { return fmt.Sprintf("%.0f", v) },
	"mebi":     func(v float64) string { return fmt.Sprintf("%.0fMi", v/(1<<20)) },
	"duration": finding.FormatDuration,
	"sh":       Quote,
	"soon":     finding.FormatCountdown,
	"lower":    strings.ToLower,
	"seconds":  func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) },
	"times":    func(a, b float64) float64 { return a * b },
}

// Quote makes a word of a shell command out of a name that others chose: what is pasted must not run anything else.
func Quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-:@=+,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// TextFunctions are the names of the functions that texts can use.
func TextFunctions() []string { return slices.Sorted(maps.Keys(texts)) }
