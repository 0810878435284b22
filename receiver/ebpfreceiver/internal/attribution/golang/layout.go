//go:build linux

// Package golang finds out what a running Go program keeps, from outside and without its help: which allocations live on, and
// which goroutines are added and never end.
package golang

import (
	"fmt"
	"strconv"
	"strings"
)

// layout is where fields are in the runtime's structures on 64-bit machines, by version. Taken from the DWARF of a program
// built by each toolchain; what is read is held against what must be true of it besides, so that a runtime that was
// changed is noticed.
type layout struct {
	span     spanLayout
	g        gLayout
	allspans []uint64 // mheap.allspans; where several are known, the one that proves right
	gofunc   uint64   // moduledata.gofunc
	request  requestLayout
}

type spanLayout struct {
	size                                                              int
	start, pages, nelems, allocBits, sweepgen, class, state, elemsize uint64
	shortCounts                                                       bool // nelems is a uint16
}

type gLayout struct {
	size                                                       int
	schedSP, schedPC, schedBP, syscallSP, syscallPC, syscallBP uint64
	status, goid, waitReason, gopc, startpc                    uint64
	curg                                                       uint64 // in runtime.m, which g.m points to
}

// m in runtime.g is at the same place in all of them.
const gM = 48

// text in moduledata is at the same place in all of them.
const moduledataText = 176

// The newest that was looked at. Later ones are taken for it, and believed as far as they prove to be.
const newestMinor = 26

var (
	span118 = spanLayout{size: 112, start: 24, pages: 32, nelems: 56, allocBits: 72, sweepgen: 88, class: 98, state: 99, elemsize: 104}
	span121 = spanLayout{size: 120, start: 24, pages: 32, nelems: 56, allocBits: 72, sweepgen: 96, class: 106, state: 107, elemsize: 112}
	span122 = spanLayout{size: 112, start: 24, pages: 32, nelems: 50, allocBits: 64, sweepgen: 88, class: 98, state: 99, elemsize: 104, shortCounts: true}

	request118 = requestLayout{current: 120}
	request120 = requestLayout{current: 112}
	request122 = requestLayout{patternAt: 248, current: 112}
	request123 = requestLayout{pattern: 232, current: 112}

	g118 = gLayout{size: 320, schedSP: 56, schedPC: 64, schedBP: 104, syscallSP: 112, syscallPC: 120, status: 144, goid: 152, waitReason: 176, gopc: 296, startpc: 312, curg: 192}
	g121 = gLayout{size: 304, schedSP: 56, schedPC: 64, schedBP: 104, syscallSP: 112, syscallPC: 120, status: 144, goid: 152, waitReason: 176, gopc: 280, startpc: 296, curg: 192}
	g123 = gLayout{size: 312, schedSP: 56, schedPC: 64, schedBP: 104, syscallSP: 112, syscallPC: 120, syscallBP: 128, status: 152, goid: 160, waitReason: 184, gopc: 288, startpc: 304, curg: 192}
	g125 = gLayout{size: 304, schedSP: 56, schedPC: 64, schedBP: 96, syscallSP: 104, syscallPC: 112, syscallBP: 120, status: 144, goid: 152, waitReason: 176, gopc: 280, startpc: 296, curg: 184}
	g126 = gLayout{size: 312, schedSP: 56, schedPC: 64, schedBP: 96, syscallSP: 104, syscallPC: 112, syscallBP: 120, status: 144, goid: 152, waitReason: 176, gopc: 288, startpc: 304, curg: 184}
)

// layouts are those of the minor versions from 1.18 on.
var layouts = map[int]layout{
	18: {span: span118, g: g118, allspans: []uint64{65848}, gofunc: 304, request: request118},
	19: {span: span118, g: g118, allspans: []uint64{65856}, gofunc: 304, request: request118},
	20: {span: span118, g: g118, allspans: []uint64{65824}, gofunc: 320, request: request120},
	21: {span: span121, g: g121, allspans: []uint64{65864}, gofunc: 320, request: request120},
	22: {span: span122, g: g121, allspans: []uint64{65864}, gofunc: 320, request: request122},
	23: {span: span122, g: g123, allspans: []uint64{65864}, gofunc: 320, request: request123},
	24: {span: span122, g: g123, allspans: []uint64{65864}, gofunc: 320, request: request123},
	25: {span: span122, g: g125, allspans: []uint64{65864}, gofunc: 320, request: request123},
	26: {span: span122, g: g126, allspans: []uint64{65864}, gofunc: 320, request: request123},
}

// layoutOf returns the layout of a toolchain's version, as "go1.26.0".
func layoutOf(version string) (layout, error) {
	rest, ok := strings.CutPrefix(version, "go1.")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	minor, err := strconv.Atoi(rest[:digits])
	if !ok || err != nil {
		if strings.HasPrefix(version, "devel") {
			return layouts[newestMinor], nil
		}
		return layout{}, fmt.Errorf("version %q of Go is none that is known: 1.18 and later are supported", version)
	}
	if minor < 18 {
		return layout{}, fmt.Errorf("version %q of Go is too old: 1.18 and later are supported", version)
	}
	return layouts[min(minor, newestMinor)], nil
}
