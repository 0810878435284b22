//go:build linux

package process

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Kinds of memory, in words for people.
const (
	KindHeap        = "the heap of malloc"
	KindGoHeap      = "the Go heap"
	KindStack       = "the stack of the main thread"
	KindThreadStack = "stacks of threads"
	KindArena       = "arenas of malloc"
	KindBlocks      = "large blocks of malloc"
	KindAnonymous   = "anonymous mappings"
	KindCode        = "generated code (JIT)"
	KindFile        = "private pages of files"
	KindShared      = "shared memory"
)

// Usage is how much memory of each kind a process holds that the kernel cannot take back, in bytes: what is swapped out is held as well.
type Usage map[string]uint64

// Total is the sum over all kinds.
func (u Usage) Total() uint64 {
	var sum uint64
	for _, n := range u {
		sum += n
	}
	return sum
}

// Growth is how much more of a kind there is now.
type Growth struct {
	Kind  string
	Bytes int64
}

// Since tells what has grown since before, the most first.
func (u Usage) Since(before Usage) []Growth {
	var all []Growth
	for kind, n := range u {
		if n > before[kind] {
			all = append(all, Growth{kind, int64(n - before[kind])})
		}
	}
	slices.SortFunc(all, func(a, b Growth) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Kind, b.Kind)) })
	return all
}

// Usage adds the process's mappings up by kind. It costs the kernel a walk over the page tables. What the kernel calls just
// anonymous is told apart by the layout.
func (p *Process) Usage(l Layout) (Usage, error) {
	f, err := os.Open(p.file("smaps"))
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	held, err := parseSmaps(f)
	if err != nil {
		return nil, fmt.Errorf("read smaps of process %d: %w", p.PID, gone(err))
	}
	u := Usage{}
	w := walk{p: p, layout: l}
	for _, h := range held {
		w.add(u, h)
	}
	return u, nil
}

// held is what a mapping holds.
type held struct {
	Mapping
	kind           string
	bytes, swapped uint64
}

// Anonymous is the process's anonymous memory in bytes, and what is swapped out, by proc_pid_status(5): cheaper than Usage.
func (p *Process) Anonymous() (uint64, error) {
	b, err := os.ReadFile(p.file("status"))
	if err != nil {
		return 0, gone(err)
	}
	sum, ok := parseAnonymous(b)
	if !ok {
		return 0, ErrGone // a process that is ending has no memory any more
	}
	return sum, p.Alive() // the kernel takes that of one that it kills before it has ended
}

func parseAnonymous(status []byte) (sum uint64, ok bool) {
	for _, name := range []string{"\nRssAnon:", "\nRssShmem:", "\nVmSwap:"} {
		if _, rest, found := bytes.Cut(status, []byte(name)); found {
			sum += kilobytes(rest)
			ok = true
		}
	}
	return sum, ok
}

func kilobytes(b []byte) uint64 {
	field, _, _ := bytes.Cut(bytes.TrimLeft(b, " \t"), []byte{' '})
	n, _ := strconv.ParseUint(string(field), 10, 54)
	return n << 10
}

func parseSmaps(r io.Reader) ([]held, error) {
	var all []held
	var seen bound
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Bytes()
		if m, ok := parseMapping(line); ok {
			// What comes before may be a page that nobody may touch, as below a thread's stack.
			var guard bool
			if n := len(all); n > 0 {
				of := all[n-1]
				guard = of.End == m.Start && strings.HasPrefix(of.Perms, "---") && of.End-of.Start <= 1<<20
			}
			if err := seen.add(&m); err != nil {
				return nil, err
			}
			all = append(all, held{Mapping: m, kind: kindOf(m, guard)})
			continue
		}
		if len(all) == 0 {
			continue
		}
		of := &all[len(all)-1]
		switch name, rest, _ := bytes.Cut(line, []byte{':'}); string(name) {
		case "Anonymous":
			if of.kind != KindShared {
				of.bytes += kilobytes(rest)
			}
		case "Rss":
			if of.kind == KindShared {
				of.bytes += kilobytes(rest)
			}
		case "Swap":
			of.swapped += kilobytes(rest)
		}
	}
	return all, lines.Err()
}

// kindOf tells the kind of a mapping by its name, place and neighbour.
func kindOf(m Mapping, guard bool) string {
	switch {
	case strings.HasPrefix(m.Path, "[heap"):
		return KindHeap
	case strings.HasPrefix(m.Path, "[anon: Go: heap"):
		return KindGoHeap
	case strings.HasPrefix(m.Path, "[stack"):
		return KindStack
	case strings.HasPrefix(m.Path, "/dev/shm/"), strings.HasPrefix(m.Path, "/memfd:"), strings.HasPrefix(m.Path, "/SYSV"), strings.HasPrefix(m.Path, "/dev/zero"):
		return KindShared
	case m.File():
		return KindFile
	case m.Executable() && m.Writable(), m.Executable() && m.Path == "":
		return KindCode
	case guard && m.Writable():
		return KindThreadStack
	case m.Start%(64<<20) == 0 && m.End-m.Start <= 64<<20 && m.Writable(): // HEAP_MAX_SIZE of glibc
		return KindArena
	}
	return KindAnonymous
}
