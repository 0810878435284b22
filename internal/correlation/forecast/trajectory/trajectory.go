// Package trajectory reads recorded courses of memory: JSON lines, as `tapio forecast` takes them on its standard input.
package trajectory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/jsontext"
)

// MaxLine is how long a line may be, in bytes.
const MaxLine = 64 << 10

// Header is the line that starts a trace. Only Trace and Limit are known to a predictor; the rest is for who judges it.
type Header struct {
	// Trace names the run.
	Trace string `json:"trace"`
	// Kind is what sort of run it is.
	Kind string `json:"kind,omitempty"`
	// Limit is the memory limit, in bytes.
	Limit float64 `json:"limit"`
	// OOMAt is when the kernel killed it, in seconds since the start; nil when it did not.
	OOMAt *float64 `json:"oom_at,omitempty"`
	// End is when the recording ends, in seconds since the start.
	End float64 `json:"end,omitempty"`
}

// Reading is one sample, in bytes but for T. What a source doesn't have stays nil, which is not the same as zero.
type Reading struct {
	// T is the time, in seconds since the start of the trace (or since any other fixed moment).
	T float64 `json:"t"`
	// Usage is everything charged to the cgroup: memory.usage_in_bytes of v1, memory.current of v2.
	Usage *float64 `json:"usage"`
	// WorkingSet is usage less the inactive page cache, as the kubelet tells it; forecasts don't use it, alerts elsewhere do.
	WorkingSet *float64 `json:"working_set"`
	// Anon is anonymous memory: total_rss of v1's memory.stat, anon of v2's.
	Anon *float64 `json:"anon"`
	// File is the page cache with shared memory: total_cache of v1, file of v2.
	File *float64 `json:"file"`
	// Shmem is shared memory and tmpfs, which the kernel cannot drop.
	Shmem *float64 `json:"shmem"`
	// MajorFaults counts the pages that had to be read again: total_pgmajfault, pgmajfault.
	MajorFaults *float64 `json:"pgmajfault"`
	// Refusals counts how often the limit was hit: memory.failcnt of v1, max in memory.events of v2.
	Refusals *float64 `json:"failcnt"`
	// Limit is a new limit from this sample on.
	Limit *float64 `json:"limit"`
}

// Line is a decoded line: exactly one of its fields is set.
type Line struct {
	Header  *Header
	Reading *Reading
}

// Parse decodes a line. A line with "trace" starts a trace, one with "t" is a sample, and fields that aren't known are
// passed over; anything else is an error that says what would be right.
func Parse(line []byte) (Line, error) {
	var keys struct {
		Trace *json.RawMessage `json:"trace"`
		T     *json.RawMessage `json:"t"`
	}
	if err := json.Unmarshal(line, &keys); err != nil {
		return Line{}, fmt.Errorf("not a JSON object: %w", jsontext.Explain(err))
	}
	switch {
	case keys.Trace != nil:
		h := &Header{}
		if err := json.Unmarshal(line, h); err != nil {
			return Line{}, fmt.Errorf("start of a trace: %w", jsontext.Explain(err))
		}
		if !(h.Limit > 0) || h.Limit >= math.MaxInt64 {
			return Line{}, fmt.Errorf("start of trace %q: limit is %g, want a number of bytes above 0", h.Trace, h.Limit)
		}
		return Line{Header: h}, nil
	case keys.T != nil:
		r := &Reading{}
		if err := json.Unmarshal(line, r); err != nil {
			return Line{}, fmt.Errorf("sample: %w", jsontext.Explain(err))
		}
		return Line{Reading: r}, r.check()
	}
	return Line{}, errors.New(`neither a start ({"trace":"id","limit":bytes}) nor a sample ({"t":seconds,"anon":bytes,…})`)
}

// maxSeconds keeps times inside what time.Duration can hold (about 146 years).
const maxSeconds = math.MaxInt64 / 2e9

func (r *Reading) check() error {
	if math.Abs(r.T) > maxSeconds {
		return fmt.Errorf("sample: t is %g, want seconds, at most %g", r.T, float64(maxSeconds))
	}
	if r.Anon == nil && r.Usage == nil {
		return errors.New(`sample: neither "anon" nor "usage": want at least one of them, in bytes`)
	}
	return nil
}

// Sample is the reading as forecasts take it. What is in use and can't be reclaimed is everything that was charged but the
// page cache: anonymous and shared memory and the kernel's own (stacks, page tables, sockets). Without "usage" it is
// anonymous and shared memory; with "usage" alone all of it.
func (r *Reading) Sample(limit float64) forecast.Sample {
	s := forecast.Sample{Time: At(r.T), Limit: limit,
		MajorFaults: value(r.MajorFaults), Refusals: value(r.Refusals)}
	if r.Limit != nil {
		s.Limit = *r.Limit
	}
	if r.Anon != nil {
		s.Used = *r.Anon + value(r.Shmem)
	}
	if r.Usage != nil {
		s.Used = max(s.Used, *r.Usage-max(value(r.File)-value(r.Shmem), 0))
	}
	return s
}

// At is the moment that T seconds stand for.
func At(t float64) time.Time { return time.Unix(0, 0).Add(time.Duration(t * 1e9)) }

// Seconds is the other way round.
func Seconds(t time.Time) float64 { return t.Sub(time.Unix(0, 0)).Seconds() }

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

// Answer is what a predictor says after a sample. The zero value, written {}, is silence.
type Answer struct {
	// OOMAt is when the kill is expected, Lo and Hi bound it with 80 % probability; seconds, as Reading.T.
	OOMAt float64 `json:"oom_at"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	// Confidence is the probability that there is a kill at all if nothing changes.
	Confidence float64 `json:"confidence"`
	// Speaks says whether this is a prediction.
	Speaks bool `json:"-"`
}

// MarshalJSON writes {} for silence.
func (a Answer) MarshalJSON() ([]byte, error) {
	if !a.Speaks {
		return []byte("{}"), nil
	}
	type plain Answer
	return json.Marshal(plain(a))
}

// AnswerOf tells a forecast in the protocol's words.
func AnswerOf(f forecast.Forecast) Answer {
	if !f.Predicts() {
		return Answer{}
	}
	return Answer{OOMAt: Seconds(f.At), Lo: Seconds(f.Earliest), Hi: Seconds(f.Latest), Confidence: f.Confidence, Speaks: true}
}

// Blank says whether a line holds nothing at all.
func Blank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
