// Package delivertest helps to test receivers that hand log events on.
package delivertest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// Refused makes a receiver of log events with its default configuration, whose next component refuses each for good, and returns it with
// its telemetry.
func Refused(t *testing.T, f receiver.Factory) (receiver.Logs, *componenttest.Telemetry) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := receivertest.NewNopSettings(f.Type())
	set.TelemetrySettings = tel.NewTelemetrySettings()
	r, err := f.CreateLogs(t.Context(), set, f.CreateDefaultConfig(), consumertest.NewErr(consumererror.NewPermanent(errors.New("never"))))
	require.NoError(t, err)
	return r, tel
}
