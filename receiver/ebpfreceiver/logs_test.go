//go:build linux

package ebpfreceiver

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/internal/deliver/delivertest"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadatatest"
)

// An event that the next component refuses for good is counted.
func TestRefusedForGood(t *testing.T) {
	r, tel := delivertest.Refused(t, NewFactory())
	ld, records := newLogs(nil)
	records.AppendEmpty().SetEventName("kernel.oom_kill")
	r.(*logsReceiver).deliver(t.Context(), ld)
	metadatatest.AssertEqualReceiverEbpfRefused(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
}
