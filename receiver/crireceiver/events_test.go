package crireceiver

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/internal/deliver/delivertest"
	"github.com/your-org/tapio/receiver/crireceiver/internal/metadatatest"
)

// An event that the next component refuses for good is counted.
func TestRefusedForGood(t *testing.T) {
	r, tel := delivertest.Refused(t, NewFactory())
	r.(*eventsReceiver).tell(t.Context(), happening{event: "cri.container.stopped"}, pcommon.NewResource())
	metadatatest.AssertEqualReceiverCriLost(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
}
