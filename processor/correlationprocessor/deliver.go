package correlationprocessor

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// deliverTimeout bounds one call of the next component.
const deliverTimeout = 30 * time.Second

// owe notes that a finding is to be told. What cannot be told for long is bounded as findings are: a new one beyond is counted
// and left out, until it is told again for another reason.
func (c *correlator) owe(ctx context.Context, f finding.Finding) {
	if _, known := c.owed[f.ID]; !known && len(c.owed) >= 2*c.cfg.MaxFindings {
		c.telemetry.ProcessorCorrelationFindingsDropped.Add(ctx, 1)
		return
	}
	c.owed[f.ID] = f
}

// tell sends what is owed to every logs pipeline, and the status and metrics when due.
func (c *correlator) tell(ctx context.Context, now time.Time, report bool) {
	if len(c.owed) == 0 && !report {
		return
	}
	c.telling.Lock()
	defer c.telling.Unlock()
	c.mu.Lock()
	logsOut, metricsOut := c.logsOut, c.metricsOut
	c.mu.Unlock()
	status := c.engine.Status(now)
	status.Node = c.node
	c.cluster.describe(&status, c.engine.Affected(), now)
	retry := len(logsOut) == 0
	for _, out := range logsOut {
		retry = !c.tellLogs(ctx, out, status, report) || retry
	}
	if !retry {
		clear(c.owed)
	}
	if !report {
		return
	}
	md := c.series.metrics(now, status, c.engine.Findings())
	for _, out := range metricsOut {
		own := pmetric.NewMetrics()
		md.CopyTo(own)
		consume, cancel := context.WithTimeout(ctx, deliverTimeout)
		if err := out.next.ConsumeMetrics(consume, own); err != nil && ctx.Err() == nil {
			c.set.Logger.Warn("metrics about findings were refused", zap.Error(err))
		}
		cancel()
	}
}

// tellLogs sends what is owed to one pipeline. It returns false when that is to be tried again: not what was refused for
// good, which would be refused for ever.
func (c *correlator) tellLogs(ctx context.Context, out *logsProcessor, status finding.Status, report bool) bool {
	ld := findinglog.New()
	for _, f := range c.owed {
		ld.Append(f)
	}
	if report {
		ld.AppendStatus(status)
	}
	consume, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	err := out.next.ConsumeLogs(consume, ld.Logs())
	if err == nil || ctx.Err() != nil {
		return err == nil
	}
	n := int64(len(c.owed))
	if consumererror.IsPermanent(err) {
		c.telemetry.ProcessorCorrelationFindingsDropped.Add(ctx, n)
		c.set.Logger.Error("findings were refused for good", zap.Int64("findings", n), zap.Error(err))
		return true
	}
	c.telemetry.ProcessorCorrelationFindingsUndelivered.Add(ctx, n)
	c.set.Logger.Warn("findings were refused; they are told again", zap.Int64("findings", n), zap.Error(err))
	return false
}
