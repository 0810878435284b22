//go:build linux

package ebpfreceiver

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadatatest"
)

// Who leaves without having joined takes the telemetry away, also while somebody reads it.
func TestLeaveWhileTelemetryIsRead(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	set := metadatatest.NewSettings(telemetry)
	var p *probes
	var leaving sync.WaitGroup
	meter := set.MeterProvider.Meter("test")
	first, err := meter.Int64ObservableCounter("first")
	require.NoError(t, err)
	// Read before the receiver's own.
	_, err = meter.RegisterCallback(func(context.Context, metric.Observer) error {
		leaving.Go(func() { _ = p.leave(false, func() {}) })
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if !p.mu.TryLock() {
				break // it has come as far as it can, and must not keep this
			}
			p.mu.Unlock()
		}
		return nil
	}, first)
	require.NoError(t, err)
	p, err = newProbes(set, createDefaultConfig().(*Config))
	require.NoError(t, err)
	p.ended = func() {}
	read := make(chan error, 1)
	go func() { read <- telemetry.Reader.Collect(context.Background(), new(metricdata.ResourceMetrics)) }()
	select {
	case err := <-read:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("the reader and who leaves wait for each other")
	}
	leaving.Wait()
}
