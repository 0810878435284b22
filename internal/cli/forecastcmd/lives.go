package forecastcmd

import (
	"math"
	"time"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// life is the course of a series from a start of its workload to its end, and how Tapio would have done.
type life struct {
	series  labels
	began   time.Time
	trace   trajectory.Trace
	outcome accuracy.Outcome
	// open says that it went on at the end of the history.
	open bool
}

// pending says that there was an alarm at the end of the history: whether it was right is not known yet.
func (l *life) pending() bool {
	n := len(l.outcome.Alarms)
	return l.open && n > 0 && l.outcome.Alarms[n-1].Standing
}

const (
	// gap is how many steps without a value end a life.
	gap = 5
	// full is the share of the limit at which an end is taken for a kill.
	full = 0.9
	// shortest is how many samples a life must have to be judged.
	shortest = 2 * forecast.Needed
)

// lives cuts a series where its workload began anew: where values are missing, or where more than half of the level, and
// a quarter of the limit, is gone at once. An end is a kill when the counter of kills rose then; without such a counter, when
// the level was above 90 % of the limit, or would have been at the limit within two more steps. limit is nil where a
// constant holds. Values without a limit are passed over.
func lives(s *series, limit *series, constant float64, kills *series, step, end float64) (out []life) {
	var t trajectory.Trace
	var first, last point
	finish := func(next float64) {
		if n := len(t.Readings); n > 0 {
			open := math.IsInf(next, 1) && last.t > end-gap*step
			if !open && died(t, kills, last.t, step) {
				kill := last.t - first.t + step/2 // somewhere between this sample and the next
				t.OOMAt = &kill
			}
			t.End = last.t - first.t
			if n >= shortest {
				out = append(out, life{series: s.labels, began: time.UnixMilli(int64(first.t * 1000)), trace: t, open: open})
			}
		}
		t = trajectory.Trace{}
	}
	for _, p := range s.points {
		l, ok := constant, true
		if limit != nil {
			l, ok = limit.at(p.t)
		}
		if !ok || !(l > 0) || math.IsInf(l, 0) || !(p.v >= 0) || math.IsInf(p.v, 0) {
			continue
		}
		if len(t.Readings) > 0 && (p.t-last.t > gap*step || p.v < last.v/2 && last.v-p.v > l/4) {
			finish(p.t)
		}
		if len(t.Readings) == 0 {
			first, t.Limit = p, l
			t.Trace = s.labels.String()
		}
		v, lim := p.v, l
		t.Readings = append(t.Readings, trajectory.Reading{T: p.t - first.t, Anon: &v, Limit: &lim})
		last = p
	}
	finish(math.Inf(1))
	return out
}

// died says whether a life ended in a kill, after its last sample.
func died(t trajectory.Trace, kills *series, last, step float64) bool {
	if kills != nil {
		before, _ := kills.at(last - step)
		for _, p := range kills.points {
			if p.t > last-step && p.t <= last+gap*step && p.v > before {
				return true
			}
		}
		return false
	}
	n := len(t.Readings)
	level, limit := *t.Readings[n-1].Anon, *t.Readings[n-1].Limit
	soon := level
	if n > 1 {
		soon += 2 * max(0, level-*t.Readings[n-2].Anon)
	}
	return level >= full*limit || soon >= limit
}

// judge replays the lives of one series in turn, so that what one teaches is known in the next.
func judge(of []life, confidence float64) {
	var s forecast.Series
	for i := range of {
		t := &of[i].trace
		if i > 0 {
			s.Begin(of[i-1].trace.OOMAt != nil)
		}
		answers := make([]trajectory.Answer, len(t.Readings))
		offset := trajectory.Seconds(of[i].began) // time goes on over a restart
		for j, r := range t.Readings {
			r.T += offset
			if a := trajectory.AnswerOf(s.Observe(r.Sample(t.Limit))); a.Speaks {
				a.OOMAt, a.Lo, a.Hi = a.OOMAt-offset, a.Lo-offset, a.Hi-offset
				answers[j] = a
			}
		}
		of[i].outcome = accuracy.Judge(*t, answers, confidence)
	}
}
