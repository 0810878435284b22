package journaldreceiver

import (
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// Whatever an entry has, its record can be sent as OTLP, and says what the entry says.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("MESSAGE"), []byte("hello"), []byte("PRIORITY"), []byte("3"), false)
	f.Add([]byte("MESSAGE"), []byte("caf\xe9"), []byte("MESSAGE"), []byte("\xff"), true)
	f.Add([]byte("_PID"), []byte("x"), []byte("_SYSTEMD_CGROUP"), []byte("/docker/0"), false)
	f.Add([]byte("\xff\xfe"), []byte{}, []byte("_HOSTNAME"), []byte("\x00"), true)
	f.Add([]byte("CONTAINER_NAME"), []byte("k8s_a_b_c_d_1"), []byte("CONTAINER_NAME"), []byte("k8s_a_b_c_d_-1"), true)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 []byte, truncated bool) {
		b := newBuilder(createDefaultConfig().(*Config), "")
		e := sdjournal.NewEntry(1, 2, [2][]byte{name1, value1}, [2][]byte{name2, value2})
		e.Truncated = truncated
		l := b.logs()
		l.add(e)
		l.add(e)
		if l.LogRecordCount() != 2 || l.ResourceLogs().Len() != 1 {
			t.Fatalf("%d records, %d resources", l.LogRecordCount(), l.ResourceLogs().Len())
		}
		wire, err := (&plog.ProtoMarshaler{}).MarshalLogs(l.Logs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(wire); err != nil {
			t.Fatal(err)
		}
		for _, r := range records(l.Logs) {
			if !utf8.ValidString(r.Body().AsString()) {
				t.Fatalf("body %q", r.Body().AsString())
			}
			for name, v := range r.Attributes().All() {
				if !utf8.ValidString(name) || !utf8.ValidString(v.AsString()) {
					t.Fatalf("%q: %q", name, v.AsString())
				}
			}
		}
	})
}

func FuzzParseKubernetesName(f *testing.F) {
	f.Add("k8s_api_api-7d4_shop_6b5a1f0e-2c3d-4e5f-8091-a2b3c4d5e6f7_3")
	f.Add("k8s_POD_x_y_z_0")
	f.Add("______")
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := parseKubernetesName(s); ok && k.attempt < 0 {
			t.Fatal(k)
		}
	})
}

func FuzzSplitName(f *testing.F) {
	f.Add("system.journal")
	f.Add("system@de1e43be00fd4ef0acf0d3f48123eb7c-0000000000000001-000660fd5dd2aff5.journal")
	f.Add("user-1000@000660fd5dd2aff5-0123456789abcdef.journal~")
	f.Add("remote-a@b.journal")
	f.Fuzz(func(t *testing.T, s string) {
		writer, _ := splitName(s)
		if len(writer) > len(s) {
			t.Fatal(writer)
		}
	})
}
