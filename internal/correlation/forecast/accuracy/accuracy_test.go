package accuracy

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// trace is a run with a sample a minute; kill is in minutes, 0 for none.
func trace(minutes int, kill float64) trajectory.Trace {
	t := trajectory.Trace{Header: trajectory.Header{Trace: "t", Kind: "k", Limit: 100, End: float64(minutes) * 60}}
	for i := range minutes {
		t.Readings = append(t.Readings, trajectory.Reading{T: float64(i) * 60})
	}
	if kill > 0 {
		at := kill * 60
		t.OOMAt = &at
	}
	return t
}

// answers speak with confidence 0.9 in the minutes that are marked x, and say that the end is at the given minute.
func answers(marks string, end float64) (out []trajectory.Answer) {
	for _, m := range marks {
		a := trajectory.Answer{}
		if m == 'x' {
			a = trajectory.Answer{OOMAt: end * 60, Lo: (end - 1) * 60, Hi: (end + 1) * 60, Confidence: 0.9, Speaks: true}
		}
		out = append(out, a)
	}
	return out
}

func TestAlarms(t *testing.T) {
	for name, c := range map[string]struct {
		marks string
		end   float64
		want  []Alarm
	}{
		"two in a row are none":           {"..xx..xx..", 20, nil},
		"the third begins it":             {"..xxxxxxxx", 20, []Alarm{{From: 240, Standing: true}}},
		"two without don't end it":        {"xxx..xxx..", 20, []Alarm{{From: 120, Standing: true}}},
		"the third without does":          {"xxxx...xxx", 20, []Alarm{{From: 120, To: 360}, {From: 540, Standing: true}}},
		"what is far away alarms no one":  {"xxxxxxxxxx", 10 + 4*60, nil},
		"what comes within 4 hours, does": {"xxxxxxxxxx", 4 * 60, []Alarm{{From: 120, Standing: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, Alarms(trace(10, 0), answers(c.marks, c.end), 0.8))
			assert.Empty(t, Alarms(trace(10, 0), answers(c.marks, c.end), 0.95), "not sure enough")
		})
	}
}

func TestAHitStandsAtTheKillAndBeganEarly(t *testing.T) {
	for name, c := range map[string]struct {
		marks string
		want  bool
		lead  float64
	}{
		"early":     {"....xxxxxxxxxxxxxxxx", true, 14 * 60},
		"late":      {"............xxxxxxxx", true, 6 * 60},
		"too late":  {"..............xxxxxx", false, 4 * 60},
		"withdrawn": {"xxxxxxxxxxxxxxxxx...", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := Judge(trace(20, 20), answers(c.marks, 22), 0.5)
			assert.Equal(t, c.want, o.Hit)
			assert.Equal(t, c.lead, o.Lead)
		})
	}
	o := Judge(trace(20, 20), answers("....xxxxxxxxxxxxxxxx", 22), 0.5)
	assert.InDelta(t, 2.0/7, o.TimeError[50], 1e-9, "7 of 14 minutes left, 2 minutes off")
	assert.Zero(t, o.Coverage, "21 to 23 doesn't hold 20")
	assert.Equal(t, 1.0, Judge(trace(20, 20), answers("....xxxxxxxxxxxxxxxx", 20.5), 0.5).Coverage)
}

func TestSum(t *testing.T) {
	quiet := Judge(trace(20, 0), answers("xxxxxxx.............", 22), 0.5) // 2 to 9 of 20 minutes
	f := Sum([]Outcome{
		Judge(trace(20, 20), answers("....xxxxxxxxxxxxxxxx", 22), 0.5), Judge(trace(20, 20), answers("", 0), 0.5),
		quiet, Judge(trace(20, 0), answers("", 0), 0.5),
	})
	assert.Equal(t, 0.5, f.Recall)
	assert.Equal(t, 0.5, f.Precision)
	assert.Equal(t, 0.5, f.FalseAlarmRate)
	assert.InDelta(t, 7.0/20/2, f.FalseAlarmShare, 1e-9)
	assert.Equal(t, 7.0, f.MeanLead, "14 minutes and none")
	assert.InDelta(t, (0.01+0.81)/2, f.Brier, 1e-9)
	assert.True(t, math.IsNaN(Sum(nil).Recall))
}
