package findinglog

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// events are the samples as a pipeline carries them.
func events() plog.Logs {
	w := New()
	for _, f := range findingtest.Samples() {
		w.Append(f)
	}
	w.AppendStatus(findingtest.Status())
	return w.Logs()
}

// sent is a finding as a pipeline carries it.
func sent(f finding.Finding) plog.Logs {
	w := New()
	w.Append(f)
	return w.Logs()
}

// each calls visit for all records.
func each(logs plog.Logs, visit func(pcommon.Resource, plog.LogRecord)) {
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				visit(rl.Resource(), r)
			}
		}
	}
}

func TestEventsAreThoseOfTheGoldenFile(t *testing.T) {
	path := filepath.Join("testdata", "events.yaml")
	if *update {
		require.NoError(t, golden.WriteLogsToFile(path, events()))
	}
	want, err := golden.ReadLogs(path)
	require.NoError(t, err)
	require.NoError(t, plogtest.CompareLogs(want, events()))
}

func TestFindingsAndStatusArriveWhole(t *testing.T) {
	var findings []finding.Finding
	var status []finding.Status
	each(events(), func(resource pcommon.Resource, r plog.LogRecord) {
		if f, err := ParseFinding(resource, r); err == nil {
			findings = append(findings, f)
			return
		}
		st, err := ParseStatus(resource, r)
		require.NoError(t, err)
		status = append(status, st)
	})
	assert.Equal(t, findingtest.Samples(), findings)
	assert.Equal(t, []finding.Status{findingtest.Status()}, status)
}

// Others may know less of a peer, and what they know is sent on.
func TestAPeerOfWhichLittleIsKnownArrivesWhole(t *testing.T) {
	for _, peer := range []finding.Peer{{Address: "10.96.0.7:8080"}, {Address: "10.96.0.7:8080", Name: "checkout"}, {Address: "10.96.0.7:8080", Kind: "Node", Name: "n1"}} {
		f := findingtest.Ended()
		f.Peer = &peer
		each(sent(f), func(resource pcommon.Resource, r plog.LogRecord) {
			got, err := ParseFinding(resource, r)
			require.NoError(t, err)
			assert.Equal(t, f, got)
		})
	}
}

// What is served of a finding must be a list even where an event brings none.
func TestListsAreNeverNull(t *testing.T) {
	f := findingtest.Ended()
	f.Evidence, f.Series.Values = nil, nil
	each(sent(f), func(resource pcommon.Resource, r plog.LogRecord) {
		f, err := ParseFinding(resource, r)
		require.NoError(t, err)
		body, err := finding.Encode(f)
		require.NoError(t, err)
		findingtest.Valid(t, "finding", body)
	})
}

func TestRecordsOfOthersAreNoEventsOfTapios(t *testing.T) {
	logs := events()
	for _, name := range []string{"", "k8s.event", "tapio.predictions"} {
		each(logs, func(resource pcommon.Resource, r plog.LogRecord) {
			r.SetEventName(name)
			_, err := ParseFinding(resource, r)
			assert.ErrorIs(t, err, ErrOther)
			_, err = ParseStatus(resource, r)
			assert.ErrorIs(t, err, ErrOther)
		})
	}
}

// spoilt is the event of a sample with a change that must be refused, and what the error says of it.
type spoilt struct {
	name  string
	spoil func(resource, attributes pcommon.Map)
	want  string
}

func list(m pcommon.Map, name string) pcommon.Slice {
	v, _ := m.Get(name)
	return v.Slice()
}

func inner(m pcommon.Map, name string) pcommon.Map {
	v, _ := m.Get(name)
	return v.Map()
}

func TestSpoiltFindingsAreRefusedByTheNameOfTheAttribute(t *testing.T) {
	zero := 0.0
	for _, c := range []spoilt{
		{"no id", func(_, a pcommon.Map) { a.Remove(attrID) }, "id is empty"},
		{"id of another type", func(_, a pcommon.Map) { a.PutInt(attrID, 7) }, "attribute tapio.finding.id is Int, want a string"},
		{"unknown kind", func(_, a pcommon.Map) { a.PutStr(attrKind, "guess") }, `kind is "guess"`},
		{"confidence is text", func(_, a pcommon.Map) { a.PutStr(attrConfidence, "1") }, "attribute tapio.finding.confidence is Str, want a number"},
		{"confidence is no number", func(_, a pcommon.Map) { a.PutDouble(attrConfidence, zero/zero) }, "confidence is NaN"},
		{"no first time", func(_, a pcommon.Map) { a.Remove(attrFirstSeen) }, "firstSeen is missing"},
		{"bad time", func(_, a pcommon.Map) { a.PutStr(attrLastSeen, "yesterday") }, `attribute tapio.finding.last_seen is "yesterday", want a time`},
		{"year -1 in UTC", func(_, a pcommon.Map) { a.PutStr(attrLastSeen, "0000-01-01T00:00:00+23:59") }, "lastSeen is in the year -1"},
		{"year 10000 in UTC", func(_, a pcommon.Map) { a.PutStr(attrAt, "9999-12-31T23:59:59-01:00") }, "prediction.at is in the year 10000"},
		{"no forecast", func(_, a pcommon.Map) { a.Remove(attrAt) }, "a prediction needs"},
		{"no entity", func(r, _ pcommon.Map) { r.Clear() }, "entity.kind is empty"},
		{"entity of another type", func(r, _ pcommon.Map) { r.PutBool(attrEntityName, true) }, "attribute resource tapio.entity.name is Bool"},
		{"evidence is text", func(_, a pcommon.Map) { a.PutStr(attrEvidence, "x") }, "attribute tapio.finding.evidence is Str, want a list"},
		{"evidence of texts", func(_, a pcommon.Map) { a.PutEmptySlice(attrEvidence).AppendEmpty().SetStr("x") }, "tapio.finding.evidence[0] is no map"},
		{"evidence with a bad time", func(_, a pcommon.Map) { list(a, attrEvidence).At(0).Map().PutStr("time", "x") }, "tapio.finding.evidence[0].time is"},
		{"evidence with a bad value", func(_, a pcommon.Map) { list(a, attrEvidence).At(0).Map().PutDouble("value", 1/zero) }, "evidence[0].value is +Inf"},
		{"evidence with a bad layer", func(_, a pcommon.Map) { list(a, attrEvidence).At(0).Map().PutStr("layer", "\x1b[1m") }, `evidence[0].layer is "\x1b[1m"`},
		{"too much evidence", func(_, a pcommon.Map) {
			for range maxList {
				list(a, attrEvidence).AppendEmpty().SetEmptyMap()
			}
		}, "has 1001 entries, want at most 1000"},
		{"too much text", func(_, a pcommon.Map) { a.PutStr(attrExplanation, strings.Repeat("x", maxText)) }, "131072 bytes of text"},
		{"too much text in parts", func(_, a pcommon.Map) {
			for range 200 {
				list(a, attrEffects).AppendEmpty().SetStr(strings.Repeat("x", 1000))
			}
		}, "tapio.finding.effects is too long"},
		{"effects of numbers", func(_, a pcommon.Map) { list(a, attrEffects).AppendEmpty().SetInt(1) }, "tapio.finding.effects[1] is no string"},
		{"affected are texts", func(_, a pcommon.Map) { list(a, attrAffected).AppendEmpty().SetStr("x") }, "tapio.finding.affected[2] is no map"},
		{"affected without a name", func(_, a pcommon.Map) { list(a, attrAffected).At(1).Map().Remove("name") }, "affected[1]: entity.name is empty"},
		{"affected in part", func(_, a pcommon.Map) { a.PutDouble(attrAffectedTotal, 1.5) }, "tapio.finding.affected_total is 1.5, want a whole number"},
		{"patch that is no JSON", func(_, a pcommon.Map) { list(a, attrRemedies).At(0).Map().PutStr("patch", "{") }, "remedies[0].patch is no JSON"},
		{"remedy of unknown risk", func(_, a pcommon.Map) { list(a, attrRemedies).At(0).Map().PutStr("risk", "some") }, "remedies[0].risk"},
		{"series of texts", func(_, a pcommon.Map) { list(inner(a, attrSeries), "values").AppendEmpty().SetStr("1") }, "series.values[3] is no number"},
		{"series with a bad value", func(_, a pcommon.Map) { list(inner(a, attrSeries), "values").AppendEmpty().SetDouble(zero / zero) }, "series.values[3] is NaN"},
		{"outcome of a bad type", func(_, a pcommon.Map) { a.PutEmptyMap(attrOutcome).PutStr("within_interval", "yes") }, "outcome.within_interval is Str"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New()
			w.Append(findingtest.Prediction())
			each(w.Logs(), func(resource pcommon.Resource, r plog.LogRecord) {
				c.spoil(resource.Attributes(), r.Attributes())
				_, err := ParseFinding(resource, r)
				assert.ErrorContains(t, err, c.want)
				assert.NotErrorIs(t, err, ErrOther)
			})
		})
	}
}

func TestSpoiltStatusIsRefusedByTheNameOfTheAttribute(t *testing.T) {
	zero := 0.0
	for _, c := range []spoilt{
		{"unknown state", func(_, a pcommon.Map) { list(a, attrLayers).At(0).Map().PutStr("state", "fine") }, `tapio.status.coverage[0].state is "fine"`},
		{"bad layer", func(_, a pcommon.Map) { list(a, attrLayers).At(0).Map().PutStr("layer", "") }, "tapio.status.coverage[0].layer"},
		{"too many layers", func(_, a pcommon.Map) {
			for range maxKinds {
				list(a, attrLayers).At(0).CopyTo(list(a, attrLayers).AppendEmpty())
			}
		}, "tapio.status.coverage has more than 32"},
		{"negative count", func(_, a pcommon.Map) { inner(a, attrWatched).PutInt("Pod", -1) }, "tapio.status.watched.Pod is -1"},
		{"count of a half", func(_, a pcommon.Map) { inner(a, attrWatched).PutDouble("Pod", 0.5) }, "tapio.status.watched.Pod is 0.5"},
		{"count without end", func(_, a pcommon.Map) { inner(a, attrWatched).PutDouble("Pod", 1/zero) }, "tapio.status.watched.Pod is +Inf"},
		{"total that is no number", func(_, a pcommon.Map) { a.PutDouble(attrLearningTotal, zero/zero) }, "tapio.status.learning_total is NaN"},
		{"learning of nothing", func(_, a pcommon.Map) { list(a, attrLearning).At(0).Map().Remove(attrEntityName) }, "entity.name is empty"},
		{"node of another type", func(r, _ pcommon.Map) { r.PutInt(attrHost, 1) }, "resource host.name is Int"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New()
			w.AppendStatus(findingtest.Status())
			each(w.Logs(), func(resource pcommon.Resource, r plog.LogRecord) {
				c.spoil(resource.Attributes(), r.Attributes())
				_, err := ParseStatus(resource, r)
				assert.ErrorContains(t, err, c.want)
				assert.NotErrorIs(t, err, ErrOther)
			})
		})
	}
}
