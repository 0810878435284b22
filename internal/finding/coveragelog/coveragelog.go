// Package coveragelog is how a source of evidence says how well it sees: one log event for each part of a layer, repeated for
// as long as the source lives. The correlation engine shows the latest of them under `coverage`; a source that falls silent is
// shown as silent.
package coveragelog

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
)

// EventName is the name of the log event. Its resource may name the node.
const EventName = "tapio.coverage"

// Every is how often a source says it again; the engine takes one for silent that has not for a minute.
const Every = 20 * time.Second

// The attributes of the event.
const (
	attrLayer  = "tapio.coverage.layer"
	attrPart   = "tapio.coverage.part"
	attrState  = "tapio.coverage.state"
	attrReason = "tapio.coverage.reason"
)

// Part is how well a part of a layer is seen, for example a group of probes. The reason says why not better, and what helps.
type Part struct {
	Name string
	finding.Coverage
}

// Write makes a record say it.
func Write(r plog.LogRecord, now time.Time, p Part) {
	r.SetEventName(EventName)
	r.SetTimestamp(pcommon.NewTimestampFromTime(now))
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	r.SetSeverityNumber(plog.SeverityNumberInfo)
	body := fmt.Sprintf("%s of the layer %s: %s", p.Name, p.Layer, p.State)
	if p.State != finding.CoverageOK {
		r.SetSeverityNumber(plog.SeverityNumberWarn)
		body += ": " + p.Reason
	}
	r.Body().SetStr(body)
	a := r.Attributes()
	a.PutStr(attrLayer, string(p.Layer))
	a.PutStr(attrPart, p.Name)
	a.PutStr(attrState, string(p.State))
	if p.Reason != "" {
		a.PutStr(attrReason, p.Reason)
	}
}

// Read returns what a record says; false when it is none that Write has made.
func Read(r plog.LogRecord) (Part, bool) {
	get := func(name string) string {
		if v, ok := r.Attributes().Get(name); ok {
			return v.AsString()
		}
		return ""
	}
	p := Part{Name: get(attrPart), Coverage: finding.Coverage{Layer: finding.Layer(get(attrLayer)),
		State: finding.CoverageState(get(attrState)), Reason: get(attrReason)}}
	known := p.State == finding.CoverageOK || p.State == finding.CoverageDegraded || p.State == finding.CoverageAbsent
	return p, r.EventName() == EventName && known && p.Layer != "" && p.Name != ""
}
