package findinglog

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// seed adds the samples, and hostile variants, as they travel by OTLP.
func seed(f *testing.F) {
	logs := events()
	hostile := findingtest.Prediction()
	hostile.Title, hostile.Pattern, hostile.Entity.Name = findingtest.Hostile, findingtest.Hostile, findingtest.Hostile
	w := New()
	w.Append(hostile)
	w.Logs().ResourceLogs().MoveAndAppendTo(logs.ResourceLogs())
	each(logs, func(resource pcommon.Resource, r plog.LogRecord) {
		one := plog.NewLogs()
		rl := one.ResourceLogs().AppendEmpty()
		resource.CopyTo(rl.Resource())
		r.CopyTo(rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
		b, err := (&plog.ProtoMarshaler{}).MarshalLogs(one)
		require.NoError(f, err)
		f.Add(b)
	})
}

// FuzzParseFinding: whatever is taken follows the schema, and arrives whole when it is sent on.
func FuzzParseFinding(f *testing.F) {
	seed(f)
	schema := findingtest.Strict(f, "finding")
	f.Fuzz(func(t *testing.T, b []byte) {
		logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b)
		if err != nil {
			return
		}
		each(logs, func(resource pcommon.Resource, r plog.LogRecord) {
			got, err := ParseFinding(resource, r)
			if err != nil {
				require.Zero(t, got)
				return
			}
			body, err := finding.Encode(got)
			require.NoError(t, err)
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(v), "%s", body)

			each(sent(got), func(resource pcommon.Resource, r plog.LogRecord) {
				again, err := ParseFinding(resource, r)
				require.NoError(t, err)
				require.Equal(t, got, again)
			})
		})
	})
}

// FuzzParseStatus: whatever is taken can be told in a report.
func FuzzParseStatus(f *testing.F) {
	seed(f)
	schema := findingtest.Strict(f, "report")
	f.Fuzz(func(t *testing.T, b []byte) {
		logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b)
		if err != nil {
			return
		}
		each(logs, func(resource pcommon.Resource, r plog.LogRecord) {
			st, err := ParseStatus(resource, r)
			if err != nil {
				require.Zero(t, st)
				return
			}
			if st.Coverage == nil {
				st.Coverage = []finding.Coverage{}
			}
			body, err := finding.Encode(finding.Report{APIVersion: finding.APIVersion, Source: finding.SourceCollector, GeneratedAt: findingtest.Now,
				Coverage: st.Coverage, Watched: st.Watched, Learning: st.Learning, LearningTotal: st.LearningTotal, Findings: []finding.Finding{}})
			require.NoError(t, err)
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(v), "%s", body)
		})
	})
}
