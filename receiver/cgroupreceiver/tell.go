package cgroupreceiver

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/cgroupid"
	"github.com/your-org/tapio/internal/deliver"
	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// The log events, and the attribute of the first.
const (
	eventOOMKill   = "cgroup.memory.oom_kill"
	eventRemoved   = "cgroup.removed"
	attrEventCount = "memory.event.count"
)

// tellKilled tells that the kernel killed processes in a cgroup. What happens inside a container is told of the container.
func (r *eventsReceiver) tellKilled(ctx context.Context, cgroup string, id cgroupid.Identity, count int64) {
	who := cgroup
	if id.Inside(cgroup) {
		who = id.Container
	}
	r.tell(ctx, who, id, func(rec plog.LogRecord) {
		rec.SetEventName(eventOOMKill)
		rec.SetSeverityNumber(plog.SeverityNumberError)
		rec.Body().SetStr(fmt.Sprintf("the kernel killed %d process(es) in %s for want of memory", count, cgroup))
		rec.Attributes().PutInt(attrEventCount, count)
	})
}

func (r *eventsReceiver) tellRemoved(ctx context.Context, cgroup string, id cgroupid.Identity) {
	r.tell(ctx, cgroup, id, func(rec plog.LogRecord) {
		rec.SetEventName(eventRemoved)
		rec.SetSeverityNumber(plog.SeverityNumberInfo)
		rec.Body().SetStr("the cgroup " + cgroup + " is gone")
	})
}

func (r *eventsReceiver) tell(ctx context.Context, cgroup string, id cgroupid.Identity, fill func(plog.LogRecord)) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rb := metadata.NewResourceBuilder(r.cfg.ResourceAttributes)
	resource(rb, cgroup, r.h.version(), id)
	rb.Emit().MoveTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	rec := sl.LogRecords().AppendEmpty()
	now := pcommon.NewTimestampFromTime(time.Now())
	rec.SetTimestamp(now)
	rec.SetObservedTimestamp(now)
	fill(rec)
	if err := deliver.Logs(ctx, r.next, ld); err != nil {
		r.telemetry.ReceiverCgroupLost.Add(ctx, 1)
		r.set.Logger.Error("an event of a cgroup was lost", zap.String("cgroup", cgroup), zap.Error(err))
	}
}
