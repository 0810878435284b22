package crireceiver

import (
	"fmt"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The log events, and their attributes.
const (
	eventCreated        = "cri.container.created"
	eventStarted        = "cri.container.started"
	eventStopped        = "cri.container.stopped"
	eventOOMKilled      = "cri.container.oom_killed"
	eventRestarted      = "cri.container.restarted"
	eventRemoved        = "cri.container.removed"
	eventSandboxCreated = "cri.sandbox.created"
	eventSandboxStopped = "cri.sandbox.stopped"
	eventSandboxRemoved = "cri.sandbox.removed"
	eventImagePulled    = "cri.image.pulled"

	attrExitCode  = "process.exit.code"
	attrReason    = "k8s.container.status.reason"
	attrMessage   = "cri.container.message"
	attrNext      = "cri.container.next.id"
	attrSandbox   = "cri.sandbox.id"
	attrImageSize = "cri.image.size"
)

// happening is something that happened to a container, a sandbox or an image.
type happening struct {
	event      string
	severity   plog.SeverityNumber
	text       string
	at         time.Time // zero: now
	of         identity
	attributes map[string]any
}

func (c *container) happening(event string, severity plog.SeverityNumber, at int64, text string, attributes map[string]any) happening {
	return happening{event: event, severity: severity, at: moment(at), of: c.identity, text: text, attributes: attributes}
}

func (c *container) createdNow() happening {
	return c.happening(eventCreated, plog.SeverityNumberInfo, c.created, fmt.Sprintf("%s was created from %s", c.display(), c.image.display()), nil)
}

func (c *container) startedNow() happening {
	return c.happening(eventStarted, plog.SeverityNumberInfo, c.started, c.display()+" was started", nil)
}

func (c *container) stoppedNow() happening {
	attributes, severity := map[string]any{attrExitCode: int64(c.exit)}, plog.SeverityNumberInfo
	text := fmt.Sprintf("%s ended with exit code %d", c.display(), c.exit)
	if c.started == 0 && c.exit != 0 {
		text = fmt.Sprintf("%s could not be started: exit code %d", c.display(), c.exit)
	}
	if name := signalOf(c.exit); name != "" {
		text += " (" + name + ")"
	}
	if c.reason != "" {
		attributes[attrReason] = c.reason
		text += ", reason " + c.reason
	}
	if c.message != "" {
		attributes[attrMessage] = c.message
	}
	if c.exit != 0 {
		severity = plog.SeverityNumberError
	}
	return c.happening(eventStopped, severity, c.finished, text, attributes)
}

// What runtimes say of a container of which the kernel killed a process for want of memory (CRI, ContainerStatus.reason), and the exit
// code of one whose first process SIGKILL ended. Only both together say when that was: the reason stays with a container that lives
// on without a child.
const (
	oomKilled = "OOMKilled"
	killed    = 128 + 9
)

// outOfMemory says whether the container ended because the kernel killed its first process for want of memory.
func (c *container) outOfMemory() bool {
	return c.state == cri.ContainerState_CONTAINER_EXITED && c.exit == killed && c.reason == oomKilled
}

func (c *container) oomKilledNow() happening {
	return c.happening(eventOOMKilled, plog.SeverityNumberError, c.finished,
		"the container runtime was told that the kernel killed "+c.display()+" for want of memory", nil)
}

// restartedNow tells of a container that next has taken its place.
func (c *container) restartedNow(next *container) happening {
	return c.happening(eventRestarted, plog.SeverityNumberWarn, next.started,
		fmt.Sprintf("%s was started anew (restart %d)", c.display(), next.restarts), map[string]any{attrNext: next.id})
}

func (c *container) removedNow() happening {
	return c.happening(eventRemoved, plog.SeverityNumberInfo, 0, c.display()+" was removed", nil)
}

func (s *sandbox) happening(event string, at int64, text string) happening {
	return happening{event: event, severity: plog.SeverityNumberInfo, at: moment(at), of: identity{pod: s.pod},
		text: fmt.Sprintf("the sandbox of %s/%s %s", s.pod.namespace, s.pod.name, text), attributes: map[string]any{attrSandbox: s.id}}
}

func (s *sandbox) createdNow() happening {
	return s.happening(eventSandboxCreated, s.created, "was created")
}

func (s *sandbox) stoppedNow() happening {
	return s.happening(eventSandboxStopped, 0, "is not ready any more")
}

func (s *sandbox) removedNow() happening { return s.happening(eventSandboxRemoved, 0, "was removed") }

func pulledNow(i image, size uint64) happening {
	return happening{event: eventImagePulled, severity: plog.SeverityNumberInfo, of: identity{image: i},
		text: fmt.Sprintf("the image %s is there", i.display()), attributes: map[string]any{attrImageSize: int64(min(size, 1<<62))}}
}

func (i identity) display() string {
	if i.pod.name == "" {
		return "container " + i.id
	}
	return fmt.Sprintf("container %s of %s/%s", i.name, i.pod.namespace, i.pod.name)
}

func (i image) display() string {
	switch {
	case i.name == "":
		return i.id
	case i.tag == "":
		return i.name
	}
	return i.name + ":" + i.tag
}

// signalOf names the signal that an exit code stands for; empty where it stands for none. Runtimes tell of a process that a
// signal ended as shells do: 128 and its number.
func signalOf(code int32) string {
	if code <= 128 || code > 128+64 {
		return ""
	}
	return unix.SignalName(syscall.Signal(code - 128))
}

// moment is a time in ns since 1970; zero where it is none.
func moment(ns int64) time.Time {
	if ns <= 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
