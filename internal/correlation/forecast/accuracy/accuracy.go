// Package accuracy says how good predictions of OOM kills were: how many kills were foreseen and how early, how often there
// was an alarm for nothing, and how wrong the times were.
package accuracy

import (
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

const (
	// sustained is how many answers in a row begin an alarm, and how many end it.
	sustained = 3
	// horizon is how near a predicted kill must be to alarm anybody, in seconds.
	horizon = 4 * 3600
	// An alarm must begin this long before the kill to be of use: seconds, and as a share of the whole trace.
	minLead, minLeadShare = 300, 0.05
)

// Replay asks a predictor about each sample of a trace in turn.
func Replay(t trajectory.Trace, p Predictor) []trajectory.Answer {
	out := make([]trajectory.Answer, len(t.Readings))
	for i := range t.Readings {
		out[i] = p.Answer(&t.Readings[i])
	}
	return out
}

// Predictor answers the samples of one trace.
type Predictor interface {
	Answer(*trajectory.Reading) trajectory.Answer
}

// Alarm is a time during which a predictor warned. From and To are in seconds; an alarm that stood at the end has no end.
type Alarm struct {
	From, To float64
	Standing bool
}

// Alarms are the times during which a predictor warned with at least this confidence.
func Alarms(t trajectory.Trace, answers []trajectory.Answer, confidence float64) []Alarm {
	var alarms []Alarm
	on, off, ringing := 0, 0, false
	for i, a := range answers {
		at := t.Readings[i].T
		if a.Speaks && a.Confidence >= confidence && a.OOMAt-at <= horizon {
			on, off = on+1, 0
		} else {
			on, off = 0, off+1
		}
		switch {
		case !ringing && on >= sustained:
			ringing = true
			alarms = append(alarms, Alarm{From: at, Standing: true})
		case ringing && off >= sustained:
			ringing = false
			alarms[len(alarms)-1].To, alarms[len(alarms)-1].Standing = at, false
		}
	}
	return alarms
}

// Outcome is how a predictor did on one trace. Lead and what follows hold for an alarm that stood at the kill.
type Outcome struct {
	Trace, Kind string
	// Killed: it ended in a kill. Spike: nobody could have foreseen it, so that an alarm is chance.
	Killed, Spike bool
	Alarms        []Alarm
	// Hit: an alarm stood at the kill and began early enough. FalseShare is the share of a quiet trace spent in alarm.
	Hit        bool
	FalseShare float64
	// Withdrawn counts the alarms before a kill that ended before it.
	Withdrawn int
	// Lead is for how long the alarm had stood, in seconds.
	Lead float64
	// TimeError is |predicted − real| / time left, when a share of the lead is left. Present where there was an answer.
	TimeError map[int]float64
	// Coverage is how often the interval held the kill, Width its median width / time left. Answers: how many there were.
	Coverage, Width float64
	Answers         int
	// Confidence is the highest there was, if there was an alarm.
	Confidence float64
}

// Shares of the lead, in percent, at which the error of the time is measured.
var Shares = []int{75, 50, 25, 10}

// Judge compares answers with what happened.
func Judge(t trajectory.Trace, answers []trajectory.Answer, confidence float64) Outcome {
	o := Outcome{Trace: t.Trace, Kind: t.Kind, Killed: t.OOMAt != nil, Alarms: Alarms(t, answers, confidence)}
	if len(o.Alarms) > 0 {
		for _, a := range answers {
			if a.Speaks && a.Confidence >= confidence {
				o.Confidence = max(o.Confidence, a.Confidence)
			}
		}
	}
	if !o.Killed {
		for _, a := range o.Alarms {
			if a.Standing {
				a.To = t.End
			}
			o.FalseShare += (a.To - a.From) / t.End
		}
		return o
	}
	kill := *t.OOMAt
	o.Spike = t.Kind == "spike"
	o.Withdrawn = len(o.Alarms)
	if n := len(o.Alarms); n > 0 && o.Alarms[n-1].Standing {
		o.Withdrawn--
		o.Lead = kill - o.Alarms[n-1].From
		o.Hit = o.Lead >= max(minLead, minLeadShare*kill)
		o.times(t, answers, kill)
	}
	return o
}

// times measures the errors of the times that were told during the last alarm.
func (o *Outcome) times(t trajectory.Trace, answers []trajectory.Answer, kill float64) {
	o.TimeError = map[int]float64{}
	var widths []float64
	held := 0
	from := o.Alarms[len(o.Alarms)-1].From
	for i, a := range answers {
		left := kill - t.Readings[i].T
		if t.Readings[i].T < from || !a.Speaks || left <= 0 {
			continue
		}
		if a.Lo <= kill && kill <= a.Hi {
			held++
		}
		for _, q := range Shares {
			if _, done := o.TimeError[q]; !done && left/o.Lead <= float64(q)/100 {
				o.TimeError[q] = abs(a.OOMAt-kill) / left
			}
		}
		widths = append(widths, (a.Hi-a.Lo)/left)
	}
	o.Answers = len(widths)
	if len(widths) > 0 {
		o.Coverage, o.Width = float64(held)/float64(len(widths)), median(widths)
	}
}

func abs(x float64) float64 { return max(x, -x) }
