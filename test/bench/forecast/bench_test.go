package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
)

// What Tapio must not fall below on the recorded runs. The figures are the same on every run; what is allowed is slightly
// less than what was measured (docs/forecasting.md), so that only a change for the worse fails.
func TestForecastsAreAsGoodAsTheyWere(t *testing.T) {
	traces, err := load("testdata")
	require.NoError(t, err)
	require.Len(t, traces, 372)
	tapio := answers(traces, accuracy.NewTapio)
	for _, want := range []struct {
		confidence                                            float64
		recall, falseAlarms, quiet, lead, withdrawn, e50, e10 float64
		coverage                                              [2]float64
		width, brier                                          float64
	}{
		{0.5, 0.99, 0.32, 0.05, 25.5, 0.2, 0.145, 0.44, [2]float64{0.75, 0.85}, 0.83, 0.127},
		{0.8, 0.92, 0.09, 0.013, 15, 0.08, 0.19, 0.64, [2]float64{0.75, 0.85}, 0.93, 0.06},
	} {
		f := accuracy.Sum(judge(traces, tapio, want.confidence))
		assert.GreaterOrEqual(t, f.Recall, want.recall, "recall at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.FalseAlarmRate, want.falseAlarms, "false alarms at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.FalseAlarmShare, want.quiet, "quiet time in alarm at confidence ≥ %g", want.confidence)
		assert.GreaterOrEqual(t, f.MeanLead, want.lead, "lead at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.Withdrawn, want.withdrawn, "withdrawn alarms at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.TimeError[50], want.e50, "time error at 50 %% of the lead, confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.TimeError[10], want.e10, "time error at 10 %% of the lead, confidence ≥ %g", want.confidence)
		assert.GreaterOrEqual(t, f.Coverage, want.coverage[0], "coverage at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.Coverage, want.coverage[1], "coverage at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.Width, want.width, "width at confidence ≥ %g", want.confidence)
		assert.LessOrEqual(t, f.Brier, want.brier, "Brier score at confidence ≥ %g", want.confidence)
	}
}

// The recordings come with a scorer in Python (not part of the project). These are its figures for the baselines, so that
// both mean the same by every word.
func TestDefinitionsAreThoseOfTheRecordings(t *testing.T) {
	traces, err := load("testdata")
	require.NoError(t, err)
	want := map[string][9]float64{
		"threshold90":    {0.771, 0.873, 0.121, 0.038, 10.45, 0.905, 1.000, 10.909, 0.091},
		"threshold85":    {0.931, 0.795, 0.259, 0.100, 17.35, 0.532, 0.996, 8.048, 0.165},
		"predict_linear": {0.957, 0.510, 0.994, 0.365, 42.83, 0.177, 0.553, 0.750, 0.320},
		"theil_sen":      {0.941, 0.525, 0.920, 0.289, 42.81, 0.142, 0.630, 0.787, 0.312},
	}
	for _, b := range accuracy.Baselines {
		f := accuracy.Sum(judge(traces, answers(traces, b.New), 0.5))
		got := []float64{f.Recall, f.Precision, f.FalseAlarmRate, f.FalseAlarmShare, f.MeanLead, f.TimeError[50], f.Coverage, f.Width, f.Brier}
		for i, v := range want[b.Name] {
			assert.InDelta(t, v, got[i], 0.006, "%s, figure %d", b.Name, i)
		}
	}
}

func TestReport(t *testing.T) {
	traces, err := load("testdata")
	require.NoError(t, err)
	var out bytes.Buffer
	file := t.TempDir() + "/plot.svg"
	require.NoError(t, report(&out, traces[:40], options{kinds: true, traces: true, times: true, plot: file}))
	for _, word := range []string{"threshold90", "tapio ≥ 0.50", "tapio ≥ 0.95", "of 6 foreseen", "c_steady-b00", " 10 min"} {
		assert.Contains(t, out.String(), word)
	}
	assert.FileExists(t, file)
}

func TestNoTraces(t *testing.T) {
	_, err := load(t.TempDir())
	assert.ErrorContains(t, err, "no traces (*.jsonl.gz) in ")
}
