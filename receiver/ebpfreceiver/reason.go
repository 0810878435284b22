//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The files that tell why a program cannot be loaded.
const (
	fileBTF      = "/sys/kernel/btf/vmlinux"
	fileLockdown = "/sys/kernel/security/lockdown"
	fileStatus   = "/proc/self/status"
)

// reason says why a group of probes could not be loaded, and what helps.
func reason(err error) string {
	if _, e := os.Stat(fileBTF); errors.Is(e, fs.ErrNotExist) {
		return "the kernel has no BTF (" + fileBTF + "): run one that was built with CONFIG_DEBUG_INFO_BTF"
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !isVerifier(err) {
		status, _ := os.ReadFile(fileStatus)
		if lacking := missing(string(status), loading); len(lacking) > 0 {
			return fmt.Sprintf("this process lacks %s: give it to the collector (securityContext.capabilities.add, AmbientCapabilities), or run it as root",
				strings.Join(lacking, " and "))
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil && countsMemlock() && limit.Cur != unix.RLIM_INFINITY {
			return fmt.Sprintf("this kernel counts it as locked memory, of which the process may have %d bytes: give it LimitMEMLOCK=infinity, or CAP_SYS_RESOURCE", limit.Cur)
		}
		if lockdown, _ := os.ReadFile(fileLockdown); strings.Contains(string(lockdown), "[confidentiality]") {
			return "the kernel is locked down for confidentiality, which keeps programs from reading its memory: start it with lockdown=integrity"
		}
		return fmt.Sprintf("the kernel refuses it (%v): look for a security module or seccomp profile that forbids bpf(2)", err)
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Sprintf("the kernel lacks a tracepoint (%v): it was built without, or is too old; Linux 5.10 and later are tested", err)
	}
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Sprintf("the kernel cannot do it (%v): Linux 5.10 and later are tested", err)
	}
	return fmt.Sprintf("the kernel refuses it (%v): please report this with the output of uname -a", err)
}

func isVerifier(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v)
}

// capability is one that the kernel asks for, by its number and name.
type capability struct {
	bit  uint
	name string
}

// loading are the capabilities that loading and attaching programs takes.
var loading = []capability{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"}}

// missing are those of some capabilities that a process does not have, by /proc/PID/status. CAP_SYS_ADMIN has those for programs
// in it.
func missing(status string, wanted []capability) []string {
	_, line, _ := strings.Cut(status, "CapEff:")
	line, _, _ = strings.Cut(line, "\n")
	has, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil
	}
	if has>>unix.CAP_SYS_ADMIN&1 == 1 {
		has |= 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON
	}
	var lacking []string
	for _, c := range wanted {
		if has>>c.bit&1 == 0 {
			lacking = append(lacking, c.name)
		}
	}
	return lacking
}
