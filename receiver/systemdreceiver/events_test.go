package systemdreceiver

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/internal/deliver/delivertest"
	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadatatest"
)

// An event that the next component refuses for good is counted.
func TestRefusedForGood(t *testing.T) {
	r, tel := delivertest.Refused(t, NewFactory())
	r.(*eventsReceiver).tell(t.Context(), &unit{name: "a.service"}, happening{event: eventFailed})
	metadatatest.AssertEqualReceiverSystemdLost(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
}
