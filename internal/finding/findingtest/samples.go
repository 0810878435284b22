// Package findingtest has findings of every kind for tests, and the published schema made strict.
package findingtest

import (
	"encoding/json"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// Now is the time at which the samples were last told.
var Now = time.Date(2026, 3, 4, 10, 0, 0, 123456789, time.UTC)

// Hostile is a text with what a terminal, a browser or an editor might obey: ANSI escapes as C0 and as C1, DEL, a right-to-left
// override, markup, line ends, and bytes that are no UTF-8.
const Hostile = "\x1b[31mred\x1b[0m \u009b1m bold\x7f \u202eevil\u2066 <script>alert(1)</script>\r\ndata: forged\n\nevent: x\u2028\x00 \xff\xfe"

// Samples returns findings that between them have every field, and leave every optional one out.
func Samples() []finding.Finding {
	return []finding.Finding{Prediction(), Diagnosis(), Ended(), Bare()}
}

// Prediction is a finding about the future.
func Prediction() finding.Finding {
	value := 1.9e7
	return finding.Finding{
		ID: "0123456789abcdef", Kind: finding.Prediction, Pattern: "memory-exhaustion", Severity: finding.Critical, State: finding.Active,
		Title: "api-service will be OOM-killed in 7m23s", Explanation: "Its memory grows by 19 MB a minute.",
		Brief: "Memory usage at 85% of limit",
		Entity: finding.Entity{Kind: "Container", Cluster: "prod", Namespace: "shop", Name: "api-service-7d4", Container: "api",
			UID: "6a3f9b52-7d0b-4c44-8f0e-2f6f2c1c9f10", Node: "n1", Owner: &finding.Owner{Kind: "Deployment", Name: "api-service"}},
		Confidence: 0.91,
		Forecast: &finding.Forecast{Event: "oom_kill", At: Now.Add(443 * time.Second), Earliest: Now.Add(350 * time.Second),
			Latest: Now.Add(580 * time.Second), Coverage: 0.8},
		Evidence: []finding.Evidence{
			{Time: Now.Add(-time.Minute), Layer: finding.LayerCgroup, Signal: "memory.growth", Text: "memory grows", Value: &value, Unit: "By/min"}},
		Series: &finding.Series{Resource: "memory", Unit: "By", Limit: 1 << 28, Start: Now.Add(-10 * time.Second), StepSeconds: 5,
			Values: []float64{1e8, 1.1e8, 1.2e8}},
		Effects: []string{"fedcba9876543210"},
		Affected: []finding.Entity{{Kind: "Container", Namespace: "shop", Name: "api-service-8e5", Container: "api", UID: "0b1de0c4-53b0-4f0b-8f5e-0d2a4c1b7a11",
			Owner: &finding.Owner{Kind: "Deployment", Name: "api-service"}}, {Kind: "Namespace", Name: "blog"}},
		AffectedTotal: 3,
		Remedies: []finding.Remedy{{ID: "raise-memory-limit", Title: "Raise the limit", Risk: finding.RiskLow,
			Command: "kubectl set resources deployment/api-service --limits=memory=512Mi",
			Patch:   json.RawMessage(`{"spec":{"resources":{"limits":{"memory":"512Mi"}}}}`)}},
		FirstSeen: Now.Add(-2 * time.Minute), LastSeen: Now,
	}
}

// Diagnosis is a finding about the present, foreseen by Prediction.
func Diagnosis() finding.Finding {
	f := Prediction()
	f.ID, f.Kind, f.Pattern, f.Title = "fedcba9876543210", finding.Diagnosis, "oom-killed", "api-service was OOM-killed"
	f.Outcome = &finding.Outcome{Prediction: "0123456789abcdef", PredictedAt: f.Forecast.At, MadeAt: f.FirstSeen,
		ActualAt: f.Forecast.At.Add(-4500 * time.Millisecond), ErrorSeconds: 4.5, WithinInterval: true}
	f.Forecast, f.Effects, f.Causes = nil, nil, []string{"0123456789abcdef"}
	f.Affected, f.AffectedTotal = nil, 0
	return f
}

// Ended is a finding that is over, about a systemd unit.
func Ended() finding.Finding {
	return finding.Finding{ID: "00000000000000aa", Kind: finding.Diagnosis, Pattern: "cpu-throttled", Severity: finding.Warning, State: finding.Resolved,
		Title: "nginx.service was throttled", Explanation: "It used up its quota.",
		Entity:    finding.Entity{Kind: "Unit", Name: "nginx.service", Node: "n1"},
		Peer:      &finding.Peer{Address: "10.96.0.7:8080", Kind: "Service", Namespace: "shop", Name: "checkout"},
		Evidence:  []finding.Evidence{{Time: Now.Add(-time.Hour), Layer: finding.LayerSystemd, Signal: "cpu.throttled", Text: "throttled"}},
		Series:    &finding.Series{Resource: "cpu", Unit: "s", Start: Now.Add(-time.Hour), Values: []float64{}},
		Remedies:  []finding.Remedy{{ID: "raise-quota", Title: "Raise the quota", Risk: finding.RiskNone}},
		FirstSeen: Now.Add(-time.Hour), LastSeen: Now.Add(-30 * time.Minute)}
}

// Bare is a finding without anything optional, of the least severity.
func Bare() finding.Finding {
	return finding.Finding{ID: "00000000000000bb", Kind: finding.Diagnosis, Pattern: "memory-pressure", Severity: finding.Info, State: finding.Active,
		Title: "user.slice is short of memory", Entity: finding.Entity{Kind: "Cgroup", Name: "user.slice/session-1.scope"},
		Evidence: []finding.Evidence{}, FirstSeen: Now.Add(-time.Second), LastSeen: Now}
}

// Status is what the source of the samples says of itself.
func Status() finding.Status {
	return finding.Status{Time: Now, Node: "n1",
		Coverage: []finding.Coverage{{Layer: finding.LayerCgroup, State: finding.CoverageOK},
			{Layer: finding.LayerEBPF, State: finding.CoverageAbsent, Reason: "nothing received from the ebpf receiver"}},
		Watched:       map[string]int{"Container": 3, "Unit": 1},
		Learning:      []finding.Learning{{Entity: finding.Entity{Kind: "Unit", Name: "cron.service", Node: "n1"}, Resource: "memory", Samples: 12, Needed: 40}},
		LearningTotal: 1}
}
