package correlationprocessor

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/correlation/extract"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// metricsProcessor is the instance in a metrics pipeline: it learns from metrics and passes them on, and Tapio's own with them.
type metricsProcessor struct {
	*correlator
	next consumer.Metrics
}

// Capabilities says that the metrics are read only.
func (*metricsProcessor) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// Start joins the engine.
func (p *metricsProcessor) Start(ctx context.Context, host component.Host) error {
	return p.join(ctx, host, func() { p.metricsOut = append(p.metricsOut, p) })
}

// Shutdown leaves the engine; the last instance stops it.
func (p *metricsProcessor) Shutdown(ctx context.Context) error {
	return p.leave(ctx, func() {
		p.metricsOut = slices.DeleteFunc(slices.Clone(p.metricsOut), func(o *metricsProcessor) bool { return o == p })
	})
}

// ConsumeMetrics learns from metrics and passes them on.
func (p *metricsProcessor) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	now := time.Now()
	extract.Metrics(md, p.node, func(b signal.Batch) { p.engine.Observe(now, b) })
	p.wake()
	return p.next.ConsumeMetrics(ctx, md)
}

// logsProcessor is the instance in a logs pipeline: it learns from records and emits findings.
type logsProcessor struct {
	*correlator
	next consumer.Logs
}

// Capabilities says that the records are read only.
func (*logsProcessor) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// Start joins the engine.
func (p *logsProcessor) Start(ctx context.Context, host component.Host) error {
	return p.join(ctx, host, func() { p.logsOut = append(p.logsOut, p) })
}

// Shutdown leaves the engine; the last instance stops it.
func (p *logsProcessor) Shutdown(ctx context.Context) error {
	return p.leave(ctx, func() {
		p.logsOut = slices.DeleteFunc(slices.Clone(p.logsOut), func(o *logsProcessor) bool { return o == p })
	})
}

// ConsumeLogs learns from records, and passes them on only if so configured.
func (p *logsProcessor) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	now := time.Now()
	news := false
	extract.Logs(ld, p.node, p.rules, func(b signal.Batch) {
		news = true
		p.engine.Observe(now, b)
	})
	p.cluster.take(ld, now)
	statuses, adopted := p.adopt(ctx, ld, now)
	if news || adopted { // a cluster's objects change all the time, and are looked at now and then
		p.wake()
	}
	if p.cfg.PassThrough {
		return p.next.ConsumeLogs(ctx, ld)
	}
	if statuses.LogRecordCount() > 0 {
		return p.next.ConsumeLogs(ctx, statuses)
	}
	return nil
}
