//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/capabilities"
)

// The files that tell why a program cannot be loaded.
const (
	fileBTF      = "/sys/kernel/btf/vmlinux"
	fileLockdown = "/sys/kernel/security/lockdown"
)

// reason says why a group of probes could not be loaded, and what helps.
func reason(err error) string {
	if _, e := os.Stat(fileBTF); errors.Is(e, fs.ErrNotExist) {
		return "the kernel has no BTF (" + fileBTF + "): run one that was built with CONFIG_DEBUG_INFO_BTF"
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !isVerifier(err) {
		if lacking := capabilities.Lacking(capabilities.Loading); len(lacking) > 0 {
			return fmt.Sprintf("this process lacks %s: %s", strings.Join(lacking, " and "), capabilities.Remedy)
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil && countsMemlock() && limit.Cur != unix.RLIM_INFINITY {
			return fmt.Sprintf("this kernel counts it as locked memory, of which the process may have %d bytes: give it LimitMEMLOCK=infinity, or CAP_SYS_RESOURCE", limit.Cur)
		}
		if lockdown, _ := os.ReadFile(fileLockdown); strings.Contains(string(lockdown), "[confidentiality]") {
			return "the kernel is locked down for confidentiality, which keeps programs from reading its memory: start it with lockdown=integrity"
		}
		return fmt.Sprintf("the kernel refuses it (%v): look for a security module, a seccomp profile or a user namespace that forbids bpf(2)", err)
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
