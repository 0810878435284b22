package extract

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/cgroupid"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// journalField is how our journald receiver names the fields of an entry that have no name in the conventions.
const journalField = "systemd.journal."

// record is a log record that a receiver of logs read: ours or upstream's from the journal, or upstream's from a file.
type record struct {
	log      plog.LogRecord
	resource pcommon.Map
	// entry is the journal's entry as upstream's receiver has it: a map of its fields as body. The zero value otherwise.
	entry pcommon.Map
}

func newRecord(r plog.LogRecord, resource pcommon.Map) record {
	rec := record{log: r, resource: resource}
	if r.Body().Type() == pcommon.ValueTypeMap {
		rec.entry = r.Body().Map()
	}
	return rec
}

// field returns a field of the journal's entry; empty where there is none, or no entry.
func (r record) field(name string) string {
	var v pcommon.Value
	var ok bool
	if r.entry != (pcommon.Map{}) {
		v, ok = r.entry.Get(name)
	} else {
		switch name {
		case "_PID":
			v, ok = r.log.Attributes().Get("process.pid")
		case "_COMM":
			v, ok = r.log.Attributes().Get("process.executable.name")
		case "_SYSTEMD_UNIT":
			v, ok = r.resource.Get(entity.AttrUnit)
		case "_HOSTNAME":
			v, ok = r.resource.Get(entity.AttrHost)
		default:
			v, ok = r.log.Attributes().Get(journalField + strings.ToLower(name))
		}
	}
	if !ok {
		return ""
	}
	return v.AsString()
}

// writers are the programs whose lines mean something, by the name of the process or of the unit that it is in.
var writers = map[string]lines.Source{
	"kubelet": lines.Kubelet, "kubelite": lines.Kubelet, "k3s": lines.Kubelet, "k3s-server": lines.Kubelet, "k3s-agent": lines.Kubelet,
	"rke2-server": lines.Kubelet, "rke2-agent": lines.Kubelet,
	"containerd": lines.Runtime, "dockerd": lines.Runtime, "docker": lines.Runtime, "crio": lines.Runtime,
	"chronyd": lines.Clock, "chrony": lines.Clock, "ntpd": lines.Clock, "systemd-timesyn": lines.Clock, "systemd-timesyncd": lines.Clock,
}

// line returns who wrote the record, and the line without what a logger put before it. It returns false for what is no line
// of the system: only the journal vouches for who wrote an entry, and only the files of syslog are believed without it.
func (r record) line() (from lines.Source, line string, layer finding.Layer, ok bool) {
	if transport := r.field("_TRANSPORT"); transport != "" {
		from = r.writer(transport)
		if line = r.text(); from == "" || line == "" {
			return "", "", "", false
		}
		return from, line, finding.LayerJournald, true
	}
	for _, contained := range []string{entity.AttrContainerID, entity.AttrContainerName, entity.AttrPodName, entity.AttrPodUID} {
		if _, ok := r.resource.Get(contained); ok {
			return "", "", "", false
		}
	}
	if from, line = r.syslog(); from == "" {
		return "", "", "", false
	}
	return from, line, finding.LayerHost, true
}

// writer is who wrote an entry of the journal, by what the journal itself notes and no process can claim.
func (r record) writer(transport string) lines.Source {
	if transport == "kernel" {
		if facility := r.field("SYSLOG_FACILITY"); facility != "" && facility != "0" {
			return "" // a process wrote it to /dev/kmsg
		}
		return lines.Kernel
	}
	if r.field("_PID") == "1" {
		return lines.Systemd
	}
	if from := writers[r.field("_COMM")]; from != "" && r.field("_SYSTEMD_UNIT") != "" {
		return from
	}
	return writers[strings.TrimSuffix(r.field("_SYSTEMD_UNIT"), ".service")]
}

// text is the entry's message.
func (r record) text() string {
	if r.entry != (pcommon.Map{}) {
		return r.field("MESSAGE")
	}
	return r.log.Body().AsString()
}

// syslogFiles are the files that syslog daemons write what the kernel and daemons say to.
var syslogFiles = []string{"kern.log", "messages", "syslog", "daemon.log", "dmesg", "cron.log", "system.log"}

// maxHeader is how much of a line a header of syslog takes at most (bytes).
const maxHeader = 160

var (
	// "Nov 24 03:04:31 host kernel: [ 4758.807879] text", "2026-11-24T03:04:31.5+00:00 host systemd[1]: text".
	headerRE = regexp.MustCompile(`^(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)) \S+ ([\w.-]+)(?:\[(\d+)\])?: `)
	// dmesg's own: "[ 4758.807879] text".
	bootRE = regexp.MustCompile(`^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? `)
)

// syslog takes the header off a line of a syslog file, or a record that a syslog receiver has parsed.
func (r record) syslog() (lines.Source, string) {
	tag, line, pid := r.attribute("appname"), r.attribute("message"), r.attribute("proc_id")
	if tag == "" || line == "" {
		file := r.attribute("log.file.name")
		if file == "" {
			file = path.Base(r.attribute("log.file.path"))
		}
		if r.log.Body().Type() != pcommon.ValueTypeStr || !slices.ContainsFunc(syslogFiles, func(known string) bool {
			return file == known || strings.HasPrefix(file, known+".") || strings.HasPrefix(file, known+"-")
		}) {
			return "", ""
		}
		line = r.log.Body().Str()
		if bootRE.MatchString(line) {
			tag = "kernel"
		} else if m := headerRE.FindStringSubmatchIndex(line[:min(len(line), maxHeader)]); m != nil {
			tag = line[m[2]:m[3]]
			if m[4] >= 0 {
				pid = line[m[4]:m[5]]
			}
			line = line[m[1]:]
		}
	}
	switch {
	case tag == "kernel":
		return lines.Kernel, line[len(bootRE.FindString(line)):]
	case tag == "systemd" && pid == "1":
		return lines.Systemd, line
	}
	return writers[tag], line
}

func (r record) attribute(name string) string {
	if v, ok := r.log.Attributes().Get(name); ok {
		return v.AsString()
	}
	return ""
}

// place are the resource attributes of what a line is about: a few of its own, on the node that it is from.
type place map[string]string

// String returns the attribute's value, or "".
func (p place) String(name string) string { return p[name] }

// say turns what a line says into signals.
func (r record) say(f lines.Found, layer finding.Layer, node string, visit func(signal.Batch)) {
	at := place{entity.AttrHost: node}
	if host := r.field("_HOSTNAME"); host != "" {
		at[entity.AttrHost] = host
	}
	for _, name := range []string{entity.AttrNode, entity.AttrHost} {
		if v, ok := r.resource.Get(name); ok {
			at[name] = v.AsString()
		}
	}
	s := signal.Signal{Time: occurred(r.log), Kind: f.Kind, Layer: layer, Value: f.Value, Unit: f.Unit, Text: f.Text, Attributes: f.Attributes}
	if s.Unit == "" {
		s.Unit = "{event}"
	}
	tell := func(s signal.Signal, at place) {
		if e, ok := entity.New(at, node); ok {
			s.Entity = e.ID
			visit(signal.Batch{Entity: e, Signals: []signal.Signal{s}})
		}
	}
	if s.Kind == signal.KernelOOMKill && s.Attributes["scope"] == "node" {
		ofNode := s
		ofNode.Kind = signal.NodeOOMKill
		tell(ofNode, at)
	}
	for name, v := range f.About {
		at[name] = v
	}
	// systemd says it of the unit, and then of every slice around it, where the kernel counts the kill as well.
	if s.Kind == signal.UnitOOMKill && strings.HasSuffix(at[entity.AttrUnit], ".slice") {
		return
	}
	if f.Cgroup != "" {
		inhabit(at, f.Cgroup)
	}
	if id := tenant(at[entity.AttrUnit]); id != "" {
		at[entity.AttrContainerID] = id
	}
	tell(s, at)
}

// tenant is the container that has a systemd unit for itself: what happens to the unit is told of the container. It is empty
// for other units.
func tenant(unit string) string {
	if !strings.HasSuffix(unit, ".scope") {
		return ""
	}
	return cgroupid.Of(unit).ContainerID
}

// inhabit adds who lives in a cgroup, as the cgroup receiver does. What happens inside a container is told of the container.
func inhabit(at place, cgroup string) {
	id := cgroupid.Of(cgroup)
	if id.Inside(cgroup) {
		cgroup = id.Container
	}
	at[entity.AttrCgroup] = cgroup
	for name, v := range map[string]string{entity.AttrContainerID: id.ContainerID, entity.AttrPodUID: id.PodUID, entity.AttrUnit: id.Unit} {
		if v != "" {
			at[name] = v
		}
	}
}
