// Package attributionlog is who holds memory as a log event: the ebpf receiver writes it, and the correlation engine reads it.
package attributionlog

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/attribution"
)

// EventName is the name of the log event. Its resource names whose memory it is, its body says it in a sentence.
const EventName = "tapio.attribution"

// The attributes of the event; those of a site are its largest's.
const (
	attrRetained = "tapio.attribution.retained"
	attrRate     = "tapio.attribution.rate"
	attrShare    = "tapio.attribution.share"
	attrCallers  = "tapio.attribution.callers"
	attrHandler  = "tapio.attribution.handler"
	attrVariable = "tapio.attribution.variable"
	attrMethod   = "http.request.method"
	attrRoute    = "http.route"
	attrFunction = "code.function.name"
	attrFile     = "code.file.path"
	attrLine     = "code.line.number"
)

// Write makes a record say it.
func Write(r plog.LogRecord, now time.Time, a attribution.Answer) {
	r.SetEventName(EventName)
	r.SetTimestamp(pcommon.NewTimestampFromTime(now))
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	r.SetSeverityNumber(plog.SeverityNumberInfo)
	text := a.Text
	if text == "" {
		text = a.Reason
	}
	r.Body().SetStr(text)
	attrs := r.Attributes()
	if len(a.Sites) == 0 || a.Sites[0].Grade != attribution.Retained {
		attrs.PutBool(attrRetained, false)
		return
	}
	s := a.Sites[0]
	attrs.PutBool(attrRetained, true)
	attrs.PutDouble(attrRate, s.BytesPerMinute)
	attrs.PutDouble(attrShare, s.Share)
	if s.Kind == attribution.Objects {
		attrs.PutStr(attrVariable, s.Function)
	} else {
		attrs.PutStr(attrFunction, s.Function)
	}
	if s.File != "" {
		attrs.PutStr(attrFile, s.File)
	}
	if s.Line > 0 {
		attrs.PutInt(attrLine, int64(s.Line))
	}
	if s.Handler != "" {
		attrs.PutStr(attrHandler, s.Handler)
	}
	if method, path, ok := strings.Cut(s.Route, " "); ok && !strings.Contains(path, ", ") {
		attrs.PutStr(attrMethod, method)
		attrs.PutStr(attrRoute, path)
	}
	callers := attrs.PutEmptySlice(attrCallers)
	for _, c := range s.Callers {
		callers.AppendEmpty().SetStr(c)
	}
}

// Read returns what the largest holder gains, in bytes a minute, and whether it is known to hold it.
func Read(r plog.LogRecord) (rate float64, retained bool) {
	if v, ok := r.Attributes().Get(attrRate); ok {
		rate = v.Double()
	}
	v, ok := r.Attributes().Get(attrRetained)
	return rate, ok && v.Bool()
}
