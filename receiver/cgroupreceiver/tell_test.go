package cgroupreceiver

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/internal/cgroupid"
	"github.com/your-org/tapio/internal/deliver/delivertest"
	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadatatest"
)

// An event that the next component refuses for good is counted.
func TestRefusedForGood(t *testing.T) {
	r, tel := delivertest.Refused(t, NewFactory())
	r.(*eventsReceiver).tellRemoved(t.Context(), "/gone", cgroupid.Of("/gone"))
	metadatatest.AssertEqualReceiverCgroupLost(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
}
