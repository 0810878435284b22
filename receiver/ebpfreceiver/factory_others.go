//go:build !linux

package ebpfreceiver

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// NewFactory returns the factory of the ebpf receiver, which this system cannot run.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithMetrics(func(context.Context, receiver.Settings, component.Config, consumer.Metrics) (receiver.Metrics, error) {
			return nil, errors.New("the ebpf receiver runs on Linux only")
		}, metadata.MetricsStability),
		receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
			return nil, errors.New("the ebpf receiver runs on Linux only")
		}, metadata.LogsStability))
}
