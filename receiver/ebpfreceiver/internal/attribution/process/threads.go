//go:build linux

package process

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxThreads bounds the threads that are looked at.
const maxThreads = 8192

// Thread is what the kernel knows of a thread.
type Thread struct {
	Name string
	// Faults is how many pages it was the first to touch, or had to be mapped for it otherwise (minflt of proc_pid_stat(5)).
	Faults uint64
}

// Threads are those of the process, by their ids.
func (p *Process) Threads() (map[int]Thread, error) {
	folder, err := os.Open(p.file("task"))
	if err != nil {
		return nil, gone(err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(maxThreads)
	if err != nil {
		return nil, fmt.Errorf("list the threads of process %d: %w", p.PID, gone(err))
	}
	all := make(map[int]Thread, len(names))
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile(p.file("task", name, "stat"))
		if err != nil {
			continue // it has ended
		}
		if t, ok := parseThread(b); ok {
			all[tid] = t
		}
	}
	return all, nil
}

// Filtered says whether seccomp decides about the system calls of any of its threads.
func (p *Process) Filtered() (bool, error) {
	folder, err := os.Open(p.file("task"))
	if err != nil {
		return false, gone(err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(maxThreads)
	if err != nil {
		return false, fmt.Errorf("list the threads of process %d: %w", p.PID, gone(err))
	}
	for _, name := range names {
		b, err := os.ReadFile(p.file("task", name, "status"))
		if err != nil {
			continue // it has ended
		}
		if mode := field(b, "Seccomp"); mode != "" && mode != "0" {
			return true, nil
		}
	}
	return false, nil
}

func parseThread(b []byte) (t Thread, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return t, false
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) < 8 {
		return t, false
	}
	t.Name = strings.ToValidUTF8(string(b[open+1:end]), "?")
	t.Faults, _ = strconv.ParseUint(string(fields[7]), 10, 64)
	return t, true
}

// Added are threads that have come, by the name they have in common.
type Added struct {
	// Name has an N for the number that it ends with, where they differ in that.
	Name  string
	Count int
}

// AddedSince tells of which threads there are more than before, the most first.
func AddedSince(before, after map[int]Thread) []Added {
	counts, names := map[string]int{}, map[string]string{}
	for _, t := range after {
		key := common(t.Name)
		counts[key]++
		if name, ok := names[key]; ok && name != t.Name {
			names[key] = key
		} else {
			names[key] = t.Name
		}
	}
	for _, t := range before {
		counts[common(t.Name)]--
	}
	var all []Added
	for key, n := range counts {
		if n > 0 {
			all = append(all, Added{names[key], n})
		}
	}
	slices.SortFunc(all, func(a, b Added) int { return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name)) })
	return all
}

// common replaces the number that a name ends with.
func common(name string) string {
	if short := strings.TrimRight(name, "0123456789"); short != name {
		return short + "N"
	}
	return name
}

// Toucher is who has touched most of the new memory, which need not be who keeps it.
type Toucher struct {
	TID  int
	Name string
	// Share is its part of all page faults, of 1.
	Share float64
}

// TouchedMost finds it; Share is 0 when hardly anybody has touched any, or there is only one.
func TouchedMost(before, after map[int]Thread) Toucher {
	var most Toucher
	var faults, sum uint64
	for tid, t := range after {
		n := t.Faults - min(t.Faults, before[tid].Faults)
		sum += n
		if n > faults || n == faults && n > 0 && tid < most.TID {
			faults, most = n, Toucher{TID: tid, Name: t.Name}
		}
	}
	if faults < 64 || len(after) < 2 {
		return Toucher{}
	}
	most.Share = float64(faults) / float64(sum)
	return most
}
