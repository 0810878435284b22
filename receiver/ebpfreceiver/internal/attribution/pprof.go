//go:build linux

package attribution

import (
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// Pprof writes what is retained as a profile that `go tool pprof` reads: bytes, and objects where they are known, gained over
// the window. Growth sites are left out, for a profile cannot tell them apart.
func (r *Report) Pprof(w io.Writer) error {
	p := &profile.Profile{
		SampleType:    []*profile.ValueType{{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"}},
		TimeNanos:     r.Began.UnixNano(),
		DurationNanos: int64(r.Window),
	}
	b := pprofBuilder{p: p, functions: map[string]*profile.Function{}, lines: map[symbols.Frame]*profile.Location{}}
	for _, of := range r.Processes {
		for _, s := range of.Sites {
			if s.Grade != Retained {
				continue
			}
			sample := &profile.Sample{
				Value: []int64{int64(s.Objects), int64(s.Bytes)},
				Label: map[string][]string{"process": {of.Name}, "kind": {string(s.Kind)}},
			}
			for _, f := range s.Stack {
				sample.Location = append(sample.Location, b.location(f))
			}
			p.Sample = append(p.Sample, sample)
		}
	}
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("make a profile: %w", err)
	}
	if err := p.Write(w); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	return nil
}

type pprofBuilder struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	lines     map[symbols.Frame]*profile.Location
}

// location makes one location for each frame: inlined ones are shown as calls.
func (b *pprofBuilder) location(f symbols.Frame) *profile.Location {
	if l, ok := b.lines[f]; ok {
		return l
	}
	fn := b.functions[f.Function]
	if fn == nil {
		fn = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: f.Function, SystemName: f.Function, Filename: f.File}
		b.functions[f.Function] = fn
		b.p.Function = append(b.p.Function, fn)
	}
	l := &profile.Location{ID: uint64(len(b.p.Location) + 1), Line: []profile.Line{{Function: fn, Line: int64(f.Line)}}}
	b.lines[f] = l
	b.p.Location = append(b.p.Location, l)
	return l
}
