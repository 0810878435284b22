package journaldreceiver

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	containerA = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	podA       = "6b5a1f0e-2c3d-4e5f-8091-a2b3c4d5e6f7"
)

// told is what becomes of an entry that is written to a real file, and read again.
type told struct {
	plog.LogRecord
	resource map[string]any
}

func tell(t *testing.T, change func(*Config), e entry) told {
	t.Helper()
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "system.journal"), e)
	r := start(t, configure(change, dir), nil, &sink{})
	r.wait(t, 1)
	defer r.stop()
	require.Len(t, r.all, 1)
	return told{records(r.all[0])[0], r.all[0].ResourceLogs().At(0).Resource().Attributes().AsRaw()}
}

func TestRecord(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		fields               []string
		body                 any
		severity             plog.SeverityNumber
		attributes, resource m
	}{
		"a unit's line": {
			fields: []string{"MESSAGE=hello", "PRIORITY=3", "SYSLOG_IDENTIFIER=kubelet", "_TRANSPORT=stdout", "_PID=700", "_UID=0", "_COMM=kubelet",
				"_EXE=/usr/bin/kubelet", "_CMDLINE=/usr/bin/kubelet --v=2", "_SYSTEMD_UNIT=kubelet.service", "_SYSTEMD_CGROUP=/system.slice/kubelet.service", "_HOSTNAME=n1"},
			body: "hello", severity: plog.SeverityNumberError,
			attributes: m{"systemd.journal.syslog_identifier": "kubelet", "systemd.journal._transport": "stdout", "process.pid": int64(700), "process.user.id": int64(0),
				"process.executable.name": "kubelet", "process.executable.path": "/usr/bin/kubelet", "process.command_line": "/usr/bin/kubelet --v=2",
				"systemd.journal._systemd_cgroup": "/system.slice/kubelet.service"},
			resource: m{"systemd.unit": "kubelet.service", "host.name": "n1"},
		},
		"the kernel's line": {
			fields: []string{"MESSAGE=Out of memory", "PRIORITY=2", "SYSLOG_FACILITY=0", "SYSLOG_IDENTIFIER=kernel", "_TRANSPORT=kernel"},
			body:   "Out of memory", severity: plog.SeverityNumberError2,
			attributes: m{"systemd.journal.syslog_facility": "0", "systemd.journal.syslog_identifier": "kernel", "systemd.journal._transport": "kernel"},
		},
		"what systemd says of a unit": {
			fields:     []string{"MESSAGE=Failed", "_PID=1", "_SYSTEMD_UNIT=init.scope", "UNIT=web.service", "MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c", "CODE_LINE=12"},
			body:       "Failed",
			attributes: m{"process.pid": int64(1), "systemd.journal.unit": "web.service", "systemd.journal.message_id": "d9b373ed55a64feb8242e02dbe79a49c", "code.line.number": int64(12)},
			resource:   m{"systemd.unit": "init.scope"},
		},
		"containerd's container": {
			fields: []string{"MESSAGE=x", "_SYSTEMD_UNIT=cri-containerd-" + containerA + ".scope",
				"_SYSTEMD_CGROUP=/kubepods.slice/kubepods-pod" + strings.ReplaceAll(podA, "-", "_") + ".slice/cri-containerd-" + containerA + ".scope"},
			body: "x",
			attributes: m{"systemd.journal._systemd_unit": "cri-containerd-" + containerA + ".scope",
				"systemd.journal._systemd_cgroup": "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(podA, "-", "_") + ".slice/cri-containerd-" + containerA + ".scope"},
			resource: m{"container.id": containerA, "container.runtime.name": "containerd", "k8s.pod.uid": podA},
		},
		"CRI-O's container": {
			fields: []string{"MESSAGE=x", "CONTAINER_ID_FULL=" + containerA, "CONTAINER_NAME=k8s_api_api-7d4_shop_" + podA + "_3", "_SYSTEMD_UNIT=crio-conmon-1.scope",
				"CONTAINER_TAG=t"},
			body:       "x",
			attributes: m{"systemd.journal.container_tag": "t", "systemd.journal._systemd_unit": "crio-conmon-1.scope"},
			resource: m{"container.id": containerA, "container.name": "k8s_api_api-7d4_shop_" + podA + "_3", "k8s.container.name": "api", "k8s.pod.name": "api-7d4",
				"k8s.namespace.name": "shop", "k8s.pod.uid": podA, "k8s.container.restart_count": int64(3)},
		},
		"fields more than once": {
			fields: []string{"MESSAGE=one", "MESSAGE=two", "A=1", "A=2", "A=3", "PRIORITY=6", "PRIORITY=3", "_PID=5", "_PID=6"},
			body:   "one", severity: plog.SeverityNumberInfo,
			attributes: m{"systemd.journal.message": "two", "systemd.journal.a": []any{"1", "2", "3"}, "systemd.journal.priority": "3",
				"process.pid": int64(5), "systemd.journal._pid": "6"},
		},
		"not UTF-8": {
			fields:     []string{"MESSAGE=caf\xe9", "BIN=\x00\xff\x01", "NUL=a\x00b"},
			body:       "caf\uFFFD",
			attributes: m{"systemd.journal.message": []byte("caf\xe9"), "systemd.journal.bin": []byte("\x00\xff\x01"), "systemd.journal.nul": "a\x00b"},
		},
		"lines": {fields: []string{"MESSAGE=a\nb=c\n\nd"}, body: "a\nb=c\n\nd", attributes: m{}},
		"no numbers": {
			fields: []string{"MESSAGE=x", "PRIORITY=high", "_PID=many", "TID=99999999999999999999", "_SOURCE_REALTIME_TIMESTAMP=never"},
			body:   "x",
			attributes: m{"systemd.journal.priority": "high", "systemd.journal._pid": "many", "systemd.journal.tid": "99999999999999999999",
				"systemd.journal._source_realtime_timestamp": "never"},
		},
		"no message":   {fields: []string{"A=1"}, attributes: m{"systemd.journal.a": "1"}},
		"empty values": {fields: []string{"MESSAGE=", "A=", "_HOSTNAME="}, body: "", attributes: m{"systemd.journal.a": "", "systemd.journal._hostname": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r := tell(t, nil, at(0, c.fields...))
			assert.Equal(t, c.body, r.Body().AsRaw())
			assert.Equal(t, c.severity, r.SeverityNumber())
			attributes := r.Attributes().AsRaw()
			assert.Equal(t, bootA, attributes["systemd.journal._boot_id"])
			delete(attributes, "systemd.journal._boot_id") // all have it
			assert.Equal(t, c.attributes, attributes)
			want := m{"host.id": machineA}
			for k, v := range c.resource {
				want[k] = v
			}
			assert.Equal(t, want, r.resource)
			assert.EqualValues(t, noon*1000, r.ObservedTimestamp())
		})
	}
}

func TestSeverities(t *testing.T) {
	want := []plog.SeverityNumber{plog.SeverityNumberFatal, plog.SeverityNumberError3, plog.SeverityNumberError2, plog.SeverityNumberError,
		plog.SeverityNumberWarn, plog.SeverityNumberInfo2, plog.SeverityNumberInfo, plog.SeverityNumberDebug}
	dir := t.TempDir()
	var entries []entry
	for i := range want {
		entries = append(entries, at(uint64(i), "MESSAGE=x", fmt.Sprintf("PRIORITY=%d", i)))
	}
	writeJournal(t, filepath.Join(dir, "system.journal"), entries...)
	r := start(t, configure(nil, dir), nil, &sink{})
	r.wait(t, len(want))
	var got []plog.SeverityNumber
	for _, rec := range records(r.all[0]) {
		got = append(got, rec.SeverityNumber())
	}
	assert.Equal(t, want, got)
}

func TestSourceTimeIsTheTimestamp(t *testing.T) {
	r := tell(t, nil, at(0, "MESSAGE=x", fmt.Sprintf("_SOURCE_REALTIME_TIMESTAMP=%d", noon-5)))
	assert.EqualValues(t, (noon-5)*1000, r.Timestamp())
	assert.EqualValues(t, noon*1000, r.ObservedTimestamp())
	r = tell(t, nil, at(0, "MESSAGE=x"))
	assert.EqualValues(t, noon*1000, r.Timestamp())
}

func TestHugeEntryIsCutAndMarked(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string
		check  func(t *testing.T, r told)
		cut    bool
	}{
		"message": {cut: true, fields: []string{"MESSAGE=" + strings.Repeat("é", 300_000), "A=1"}, check: func(t *testing.T, r told) {
			assert.Equal(t, strings.Repeat("é", (4096-len("MESSAGE="))/2), r.Body().Str())
			a, _ := r.Attributes().Get("systemd.journal.a")
			assert.Equal(t, "1", a.Str(), "the other fields have their own room")
		}},
		"another field": {cut: true, fields: []string{"A=" + strings.Repeat("a", 5000), "MESSAGE=here"}, check: func(t *testing.T, r told) {
			assert.Equal(t, "here", r.Body().Str())
		}},
		"many fields": {cut: true, fields: append(many(800), "MESSAGE=here"), check: func(t *testing.T, r told) {
			assert.Equal(t, "here", r.Body().Str())
			assert.Greater(t, r.Attributes().Len(), 100)
		}},
		"just fits": {fields: []string{"MESSAGE=" + strings.Repeat("a", 4096-len("MESSAGE="))}, check: func(t *testing.T, r told) {
			assert.Len(t, r.Body().Str(), 4096-len("MESSAGE="))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := tell(t, func(c *Config) { c.MaxEntrySize = 4096 }, at(0, c.fields...))
			c.check(t, r)
			_, marked := r.Attributes().Get("systemd.journal.truncated")
			assert.Equal(t, c.cut, marked)
		})
	}
}

func many(n int) []string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf("F%d=some value", i))
	}
	return fields
}

func TestExcludedFields(t *testing.T) {
	r := tell(t, func(c *Config) { c.ExcludeFields = []string{"_CAP_EFFECTIVE", "_BOOT_ID", "_HOSTNAME"} }, at(0, "MESSAGE=x", "_CAP_EFFECTIVE=1ff", "_HOSTNAME=n1"))
	assert.Empty(t, r.Attributes().AsRaw())
	assert.Equal(t, map[string]any{"host.id": machineA}, r.resource)
}
