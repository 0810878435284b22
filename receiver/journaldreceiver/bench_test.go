package journaldreceiver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// An operation is an entry: of a kubelet's kind, read from a real file, and made into a record.
func BenchmarkEntry(b *testing.B) {
	const n = 20_000
	entries := sequence("E1122 kuberuntime_manager.go:1256] \"Unhandled Error\" err=\"container start failed in pod web\"", n)
	for i := range entries {
		entries[i].fields = append(entries[i].fields, "_HOSTNAME=node1", "_UID=0", "_GID=0", "_PID=700", "_COMM=kubelet", "_EXE=/usr/bin/kubelet",
			"_CMDLINE=/usr/bin/kubelet --config=/etc/kubelet.yaml", "_CAP_EFFECTIVE=1ffffffffff", "_SYSTEMD_CGROUP=/system.slice/kubelet.service",
			"_SYSTEMD_UNIT=kubelet.service", "_SYSTEMD_SLICE=system.slice", "_STREAM_ID="+bootA, "_SYSTEMD_INVOCATION_ID="+bootA, "SYSLOG_FACILITY=3")
	}
	path := filepath.Join(b.TempDir(), "system.journal")
	writeJournal(b, path, entries...)
	for _, c := range []struct {
		name    string
		records bool
	}{{"read", false}, {"record", true}} {
		b.Run(c.name, func(b *testing.B) {
			builder := newBuilder(createDefaultConfig().(*Config), "")
			r, err := os.Open(path)
			require.NoError(b, err)
			defer func() { _ = r.Close() }()
			j, err := sdjournal.Open(r, 64<<10)
			require.NoError(b, err)
			defer j.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				batch, err := j.Read(min(left, 1000), maxBatchBytes)
				require.NoError(b, err)
				if batch.Count == 0 {
					require.NoError(b, j.SeekHead())
					continue
				}
				left -= batch.Count
				if c.records {
					l := builder.logs()
					for e := range batch.Entries() {
						l.add(e)
					}
				}
			}
		})
	}
}
