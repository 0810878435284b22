//go:build linux

// Package capabilities tells which capabilities this process lacks for what it does (capabilities(7)).
package capabilities

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Capability is one that the kernel asks for, by its number and name.
type Capability struct {
	Bit  uint
	Name string
}

var (
	// Loading are those that loading and attaching programs takes.
	Loading = []Capability{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"}}
	// Attributing are those that it takes to read other processes as well, and put probes into them.
	Attributing = append(Loading[:2:2], Capability{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"})
	// Reading is what it takes to read programs that only their owners may.
	Reading = []Capability{{unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}}
)

// Remedy says how a process is given them.
const Remedy = "give it to the collector (securityContext.capabilities.add, AmbientCapabilities), or run it as root"

// Lacking are those of some capabilities that this process does not have.
func Lacking(wanted []Capability) []string {
	status, _ := os.ReadFile("/proc/self/status")
	return Missing(string(status), wanted)
}

// Missing are those of some capabilities that a process does not have, by /proc/PID/status. CAP_SYS_ADMIN has those for programs
// in it, and CAP_DAC_OVERRIDE that to read.
func Missing(status string, wanted []Capability) []string {
	_, line, _ := strings.Cut(status, "CapEff:")
	line, _, _ = strings.Cut(line, "\n")
	has, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil
	}
	if has>>unix.CAP_SYS_ADMIN&1 == 1 {
		has |= 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON
	}
	if has>>unix.CAP_DAC_OVERRIDE&1 == 1 {
		has |= 1 << unix.CAP_DAC_READ_SEARCH
	}
	var lacking []string
	for _, c := range wanted {
		if has>>c.Bit&1 == 0 {
			lacking = append(lacking, c.Name)
		}
	}
	return lacking
}
