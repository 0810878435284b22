package why

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// What is not today is told with its date: a disk that is full in three days is not full tonight.
func TestDates(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 2*3600))
	at := func(hours float64) time.Time { return now.Add(time.Duration(hours * float64(time.Hour))).UTC() }
	var b strings.Builder
	story(&b, &Options{Env: cli.Env{Now: func() time.Time { return now }}}, finding.Finding{
		Evidence: []finding.Evidence{{Time: at(-25), Layer: "host", Text: "it began"}, {Time: at(-11), Layer: "host", Text: "it went on"}},
		Forecast: &finding.Forecast{At: at(72), Earliest: at(11), Latest: at(13), Coverage: 0.8},
		Outcome:  &finding.Outcome{MadeAt: at(-30), PredictedAt: at(-24), ActualAt: at(-1), ErrorSeconds: -23 * 3600},
	}, nil)
	assert.Contains(t, b.String(), "  2026-11-22 11:00:00  host        it began\n  01:00:00  host        it went on\n")
	assert.Contains(t, b.String(), "  at 2026-11-26 12:00:00, between 23:00:00 and 2026-11-24 01:00:00 with 80 % probability\n")
	assert.Contains(t, b.String(), "for 2026-11-22 12:00:00; it came at 11:00:00: 23h0m later")
}
