//go:build linux

package ebpfreceiver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

const (
	eventProcessExit = "kernel.process_exit"

	// siKernel is the si_code of a fault whose address the CPU does not tell, and of what the kernel sends for other reasons
	// (include/uapi/asm-generic/siginfo.h).
	siKernel = 0x80
)

func loadProcess() (*ebpf.CollectionSpec, error) { return bpf.LoadProcess() }

func recordProcess(mb *metadata.MetricsBuilder, now pcommon.Timestamp, n []uint64) {
	mb.RecordContainerProcessForksDataPoint(now, int64(n[bpf.ProcessCountFORKS]))
	mb.RecordContainerProcessExecsDataPoint(now, int64(n[bpf.ProcessCountEXECS]))
	mb.RecordContainerProcessExitsDataPoint(now, int64(n[bpf.ProcessCountEXITS_OK]), metadata.AttributeProcessExitOk)
	mb.RecordContainerProcessExitsDataPoint(now, int64(n[bpf.ProcessCountEXITS_FAILED]), metadata.AttributeProcessExitFailed)
	mb.RecordContainerProcessExitsDataPoint(now, int64(n[bpf.ProcessCountEXITS_SIGNALED]), metadata.AttributeProcessExitSignaled)
}

// faults are the signals of a process's own faults.
var faults = []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP}

// processHandler tells of processes that ended badly.
type processHandler struct{ probes *probes }

func newProcessHandler(p *probes) handler { return processHandler{p} }

func (processHandler) wake(context.Context, time.Time) time.Time { return time.Time{} }

func (processHandler) flush(context.Context) {}

func (h processHandler) take(ctx context.Context, raw []byte) error {
	var x bpf.ProcessExit
	if err := decode(raw, &x); err != nil {
		return fmt.Errorf("process: an exit: %w", err)
	}
	h.probes.tell(ctx, cgroupPath(x.Cgroup.Names[:min(int(x.Cgroup.Used), len(x.Cgroup.Names))]), x.Cgroup.Version, happened(x.Time), func(r plog.LogRecord) {
		h.fill(r, x)
	})
	return nil
}

func (h processHandler) fill(r plog.LogRecord, x bpf.ProcessExit) {
	status, comm := unix.WaitStatus(x.Code), text(x.Comm[:])
	r.SetEventName(eventProcessExit)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	a := r.Attributes()
	a.PutInt("process.pid", int64(x.Pid))
	a.PutStr("process.executable.name", comm)
	a.PutInt("process.parent_pid", int64(x.Parent))
	a.PutStr("process.parent.name", text(x.ParentComm[:]))
	a.PutBool("process.main", x.IsMain != 0)
	a.PutDouble("process.uptime", time.Duration(x.Lived).Seconds())
	lived := finding.FormatDuration(time.Duration(x.Lived))
	if !status.Signaled() {
		a.PutInt("process.exit.code", int64(status.ExitStatus()))
		r.Body().SetStr(fmt.Sprintf("%s (pid %d) ended with code %d after %s", comm, x.Pid, status.ExitStatus(), lived))
		return
	}
	name := unix.SignalName(status.Signal())
	a.PutInt("process.exit.signal", int64(status.Signal()))
	a.PutStr("process.exit.signal.name", name)
	if status.CoreDump() {
		a.PutBool("process.exit.core_dump", true)
	}
	body := fmt.Sprintf("%s (pid %d) was ended by %s after %s", comm, x.Pid, name, lived)
	if x.HasSender != 0 {
		s := x.Sent
		switch sender := text(s.Comm[:]); {
		case s.By == bpf.ProcessSenderKERNEL:
			a.PutStr("signal.origin", "kernel")
			body += ", which the kernel sent"
		case s.By == bpf.ProcessSenderFAULT && s.Code == siKernel && slices.Contains(faults, status.Signal()):
			a.PutStr("signal.origin", "fault")
			body += " for a fault whose address the CPU does not tell"
		case s.By == bpf.ProcessSenderFAULT && s.Code == siKernel:
			a.PutStr("signal.origin", "kernel")
			body += ", which the kernel sent"
		case s.By == bpf.ProcessSenderFAULT:
			a.PutStr("signal.origin", "fault")
			a.PutStr("signal.address", fmt.Sprintf("%#x", s.Address))
			body += fmt.Sprintf(" at the address %#x", s.Address)
		case s.Pid == x.Pid:
			a.PutStr("signal.origin", "self")
			body += ", which it sent itself"
		default:
			a.PutStr("signal.origin", "process")
			a.PutInt("signal.sender.pid", int64(s.Pid))
			a.PutStr("signal.sender.name", sender)
			body += fmt.Sprintf(", which %s (pid %d) sent", sender, s.Pid)
			a.PutBool("signal.sender.inside", s.Cgroup == x.Cgroup.Id)
		}
	}
	r.Body().SetStr(body)
}
