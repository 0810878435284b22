// Package findinglog is the form of findings and of a source's status as OpenTelemetry log events, and the only place that
// knows it.
//
// A finding is an event `tapio.prediction` or `tapio.diagnosis`. Its resource is the failing entity, under the names of the
// semantic conventions; what people filter by are flat attributes `tapio.finding.*`. Evidence, remedies and the series are
// lists of maps: a finding travels from a node to the cluster in this form, and must arrive whole.
package findinglog

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
)

// The names of the events.
const (
	EventPrediction = "tapio.prediction"
	EventDiagnosis  = "tapio.diagnosis"
	EventStatus     = "tapio.status"
)

// ScopeName is the instrumentation scope of the events.
const ScopeName = "github.com/your-org/tapio/processor/correlationprocessor"

// The flat attributes.
const (
	attrID            = "tapio.finding.id"
	attrKind          = "tapio.finding.kind"
	attrPattern       = "tapio.finding.pattern"
	attrSeverity      = "tapio.finding.severity"
	attrState         = "tapio.finding.state"
	attrTitle         = "tapio.finding.title"
	attrExplanation   = "tapio.finding.explanation"
	attrBrief         = "tapio.finding.brief"
	attrConfidence    = "tapio.finding.confidence"
	attrFirstSeen     = "tapio.finding.first_seen"
	attrLastSeen      = "tapio.finding.last_seen"
	attrEvidence      = "tapio.finding.evidence"
	attrRemedies      = "tapio.finding.remedies"
	attrCauses        = "tapio.finding.causes"
	attrEffects       = "tapio.finding.effects"
	attrAffected      = "tapio.finding.affected"
	attrAffectedTotal = "tapio.finding.affected_total"
	attrSeries        = "tapio.finding.series"
	attrOutcome       = "tapio.finding.outcome"
	attrPeer          = "tapio.finding.peer"
	attrEvent         = "tapio.finding.prediction.event"
	attrAt            = "tapio.finding.prediction.at"
	attrEarliest      = "tapio.finding.prediction.earliest"
	attrLatest        = "tapio.finding.prediction.latest"
	attrCoverage      = "tapio.finding.prediction.coverage"
	attrEntityKind    = "tapio.entity.kind"
	attrEntityName    = "tapio.entity.name"
	attrEntityUID     = "tapio.entity.uid"
	attrOwnerKind     = "tapio.entity.owner.kind"
	attrOwnerName     = "tapio.entity.owner.name"
	attrLayers        = "tapio.status.coverage"
	attrWatched       = "tapio.status.watched"
	attrReady         = "tapio.status.ready"
	attrLearning      = "tapio.status.learning"
	attrLearningTotal = "tapio.status.learning_total"
	attrCluster       = "k8s.cluster.name"
	attrNamespace     = "k8s.namespace.name"
	attrContainer     = "k8s.container.name"
	attrContainerID   = "container.id"
	attrNode          = "k8s.node.name"
	attrHost          = "host.name"
)

// byKind are the semantic conventions' attributes for the name and uid of an entity or owner of a kind.
var byKind = map[string]struct{ name, uid string }{
	"Pod":         {"k8s.pod.name", "k8s.pod.uid"},
	"Container":   {"k8s.pod.name", "k8s.pod.uid"},
	"Unit":        {"systemd.unit", ""},
	"Cgroup":      {"cgroup.path", ""},
	"Deployment":  {"k8s.deployment.name", "k8s.deployment.uid"},
	"StatefulSet": {"k8s.statefulset.name", "k8s.statefulset.uid"},
	"DaemonSet":   {"k8s.daemonset.name", "k8s.daemonset.uid"},
	"ReplicaSet":  {"k8s.replicaset.name", "k8s.replicaset.uid"},
	"Job":         {"k8s.job.name", "k8s.job.uid"},
	"CronJob":     {"k8s.cronjob.name", "k8s.cronjob.uid"},
	"Node":        {"k8s.node.name", "k8s.node.uid"},
	"Device":      {"system.device", ""},
}

// Writer collects events.
type Writer struct{ logs plog.Logs }

// New returns an empty Writer.
func New() Writer { return Writer{plog.NewLogs()} }

// Logs returns the events so far.
func (w Writer) Logs() plog.Logs { return w.logs }

func (w Writer) record(event string, at time.Time) (pcommon.Map, plog.LogRecord) {
	rl := w.logs.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(ScopeName)
	r := sl.LogRecords().AppendEmpty()
	r.SetEventName(event)
	r.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return rl.Resource().Attributes(), r
}

// Append adds the event of a finding.
func (w Writer) Append(f finding.Finding) {
	event := EventDiagnosis
	if f.Kind == finding.Prediction {
		event = EventPrediction
	}
	res, r := w.record(event, f.FirstSeen)
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(f.LastSeen))
	r.SetSeverityNumber(severity(f))
	r.SetSeverityText(string(f.Severity))
	r.Body().SetStr(f.Title)
	putEntity(res, f.Entity)

	a := r.Attributes()
	a.PutStr(attrID, f.ID)
	a.PutStr(attrKind, string(f.Kind))
	a.PutStr(attrPattern, f.Pattern)
	a.PutStr(attrSeverity, string(f.Severity))
	a.PutStr(attrState, string(f.State))
	a.PutStr(attrTitle, f.Title)
	if f.Brief != "" {
		a.PutStr(attrBrief, f.Brief)
	}
	a.PutStr(attrExplanation, f.Explanation)
	a.PutDouble(attrConfidence, f.Confidence)
	putTime(a, attrFirstSeen, f.FirstSeen)
	putTime(a, attrLastSeen, f.LastSeen)
	if p := f.Forecast; p != nil {
		a.PutStr(attrEvent, p.Event)
		putTime(a, attrAt, p.At)
		putTime(a, attrEarliest, p.Earliest)
		putTime(a, attrLatest, p.Latest)
		a.PutDouble(attrCoverage, p.Coverage)
	}
	if o := f.Outcome; o != nil {
		m := a.PutEmptyMap(attrOutcome)
		m.PutStr("prediction", o.Prediction)
		putTime(m, "predicted_at", o.PredictedAt)
		putTime(m, "made_at", o.MadeAt)
		putTime(m, "actual_at", o.ActualAt)
		m.PutDouble("error", o.ErrorSeconds)
		m.PutBool("within_interval", o.WithinInterval)
	}
	if p := f.Peer; p != nil {
		m := a.PutEmptyMap(attrPeer)
		m.PutStr("address", p.Address)
		putKnown(m, "kind", p.Kind)
		putKnown(m, "namespace", p.Namespace)
		putKnown(m, "name", p.Name)
	}
	if len(f.Evidence) > 0 {
		list := a.PutEmptySlice(attrEvidence)
		for _, e := range f.Evidence {
			m := list.AppendEmpty().SetEmptyMap()
			putTime(m, "time", e.Time)
			m.PutStr("layer", string(e.Layer))
			m.PutStr("signal", e.Signal)
			m.PutStr("text", e.Text)
			if e.Value != nil {
				m.PutDouble("value", *e.Value)
			}
			if e.Unit != "" {
				m.PutStr("unit", e.Unit)
			}
		}
	}
	if len(f.Remedies) > 0 {
		list := a.PutEmptySlice(attrRemedies)
		for _, e := range f.Remedies {
			m := list.AppendEmpty().SetEmptyMap()
			m.PutStr("id", e.ID)
			m.PutStr("title", e.Title)
			m.PutStr("risk", string(e.Risk))
			if e.Command != "" {
				m.PutStr("command", e.Command)
			}
			if len(e.Patch) > 0 {
				m.PutStr("patch", string(e.Patch))
			}
		}
	}
	putStrings(a, attrCauses, f.Causes)
	putStrings(a, attrEffects, f.Effects)
	if len(f.Affected) > 0 {
		list := a.PutEmptySlice(attrAffected)
		for _, e := range f.Affected {
			putAffected(list.AppendEmpty().SetEmptyMap(), e)
		}
	}
	if f.AffectedTotal > 0 {
		a.PutInt(attrAffectedTotal, int64(f.AffectedTotal))
	}
	if s := f.Series; s != nil {
		m := a.PutEmptyMap(attrSeries)
		m.PutStr("resource", s.Resource)
		m.PutStr("unit", s.Unit)
		m.PutDouble("limit", s.Limit)
		putTime(m, "start", s.Start)
		m.PutDouble("step", s.StepSeconds)
		values := m.PutEmptySlice("values")
		values.EnsureCapacity(len(s.Values))
		for _, v := range s.Values {
			values.AppendEmpty().SetDouble(v)
		}
	}
}

// AppendStatus adds the event of a source's status.
func (w Writer) AppendStatus(s finding.Status) {
	res, r := w.record(EventStatus, s.Time)
	r.SetSeverityNumber(plog.SeverityNumberInfo)
	if s.Node != "" {
		res.PutStr(attrHost, s.Node)
	}
	a := r.Attributes()
	list := a.PutEmptySlice(attrLayers)
	for _, c := range s.Coverage {
		m := list.AppendEmpty().SetEmptyMap()
		m.PutStr("layer", string(c.Layer))
		m.PutStr("state", string(c.State))
		if c.Reason != "" {
			m.PutStr("reason", c.Reason)
		}
	}
	watched := a.PutEmptyMap(attrWatched)
	for _, kind := range slices.Sorted(maps.Keys(s.Watched)) {
		watched.PutInt(kind, int64(s.Watched[kind]))
	}
	if len(s.Ready) > 0 {
		ready := a.PutEmptyMap(attrReady)
		for _, kind := range slices.Sorted(maps.Keys(s.Ready)) {
			m := ready.PutEmptyMap(kind)
			m.PutInt("available", int64(s.Ready[kind].Available))
			m.PutInt("total", int64(s.Ready[kind].Total))
		}
	}
	a.PutInt(attrLearningTotal, int64(s.LearningTotal))
	if len(s.Learning) > 0 {
		list := a.PutEmptySlice(attrLearning)
		for _, l := range s.Learning {
			m := list.AppendEmpty().SetEmptyMap()
			putEntity(m, l.Entity)
			m.PutStr("resource", l.Resource)
			m.PutInt("samples", int64(l.Samples))
			m.PutInt("needed", int64(l.Needed))
		}
	}
}

// severity is the finding's impact on the scale of OpenTelemetry; what is over is information.
func severity(f finding.Finding) plog.SeverityNumber {
	if f.State == finding.Resolved {
		return plog.SeverityNumberInfo
	}
	switch f.Severity {
	case finding.Critical:
		return plog.SeverityNumberError
	case finding.Warning:
		return plog.SeverityNumberWarn
	}
	return plog.SeverityNumberInfo
}

func putEntity(a pcommon.Map, e finding.Entity) {
	put := func(name, value string) {
		if name != "" && value != "" {
			a.PutStr(name, value)
		}
	}
	names := byKind[e.Kind]
	put(attrEntityKind, e.Kind)
	put(attrEntityName, e.Name)
	put(attrEntityUID, e.UID)
	if names.name != "k8s.pod.name" || e.Namespace != "" { // a container without a pod has no pod's name
		put(names.name, e.Name)
		put(names.uid, e.UID)
	} else if e.UID != e.ContainerID {
		put(names.uid, e.UID)
	}
	put(attrContainerID, e.ContainerID)
	put(attrCluster, e.Cluster)
	put(attrNamespace, e.Namespace)
	put(attrContainer, e.Container)
	put(attrHost, e.Node)
	if e.Namespace != "" || e.Kind == "Node" {
		put(attrNode, e.Node)
	}
	if e.Owner != nil {
		put(attrOwnerKind, e.Owner.Kind)
		put(attrOwnerName, e.Owner.Name)
		put(byKind[e.Owner.Kind].name, e.Owner.Name)
	}
}

// putAffected writes what names an entity, and nothing else: there may be hundreds.
func putAffected(a pcommon.Map, e finding.Entity) {
	putKnown(a, "kind", e.Kind)
	putKnown(a, "namespace", e.Namespace)
	putKnown(a, "name", e.Name)
	putKnown(a, "container", e.Container)
	putKnown(a, "uid", e.UID)
	if e.Owner != nil {
		putKnown(a, "owner_kind", e.Owner.Kind)
		putKnown(a, "owner_name", e.Owner.Name)
	}
}

// putKnown writes a text unless it is empty.
func putKnown(a pcommon.Map, name, value string) {
	if value != "" {
		a.PutStr(name, value)
	}
}

func putTime(a pcommon.Map, name string, t time.Time) {
	if !t.IsZero() {
		a.PutStr(name, t.UTC().Format(time.RFC3339Nano))
	}
}

func putStrings(a pcommon.Map, name string, values []string) {
	if len(values) == 0 {
		return
	}
	list := a.PutEmptySlice(name)
	for _, v := range values {
		list.AppendEmpty().SetStr(v)
	}
}
