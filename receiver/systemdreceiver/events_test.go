package systemdreceiver

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadatatest"
)

// An event that the next component refuses for good is counted.
func TestRefusedForGood(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(t.Context())) }()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	next := consumertest.NewErr(consumererror.NewPermanent(errors.New("never")))
	r, err := NewFactory().CreateLogs(t.Context(), set, createDefaultConfig(), next)
	require.NoError(t, err)
	r.(*eventsReceiver).tell(t.Context(), &unit{name: "a.service"}, happening{event: eventFailed})
	metadatatest.AssertEqualReceiverSystemdLost(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
}
