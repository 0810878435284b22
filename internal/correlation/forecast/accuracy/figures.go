package accuracy

import (
	"math"
	"slices"
)

// leadCap bounds what one early alarm adds to the mean lead, in seconds.
const leadCap = 3600

// Figures sum up how a predictor did on many traces. NaN where there is nothing to measure.
type Figures struct {
	// Traces, those that ended in a kill that could be foreseen, those without a kill, and those with an unforeseeable one.
	Traces, Killed, Quiet, Spikes int
	// Recall: kills that were foreseen in time. Precision: alarms that were right. FalseAlarmRate: quiet traces with an alarm.
	// FalseAlarmShare: share of quiet time in alarm. Withdrawn: alarms that ended before the kill, per kill.
	Recall, Precision, F1, FalseAlarmRate, FalseAlarmShare, Withdrawn float64
	// MeanLead is in minutes over all kills, at most 60 for each and 0 for a miss; MedianLead is over the hits.
	MeanLead, MedianLead float64
	// TimeError is the median of |predicted − real| / time left by how much of the lead is left, in percent.
	TimeError map[int]float64
	// Coverage: how often the interval held the kill. Width: its median width / time left.
	Coverage, Width float64
	// Brier is the mean of (highest confidence − killed?)² over the traces with an alarm.
	Brier float64
}

// Sum adds outcomes up.
func Sum(outcomes []Outcome) Figures {
	f := Figures{Traces: len(outcomes), TimeError: map[int]float64{}}
	var hits, falsely, withdrawn, alarmed int
	var share, lead, coverage, brier float64
	var leads, widths []float64
	errs := map[int][]float64{}
	for _, o := range outcomes {
		if len(o.Alarms) > 0 {
			alarmed++
			killed := 0.0
			if o.Killed {
				killed = 1
			}
			brier += (o.Confidence - killed) * (o.Confidence - killed)
		}
		switch {
		case o.Spike:
			f.Spikes++
			if o.Hit {
				falsely++
			}
			continue
		case !o.Killed:
			f.Quiet++
			share += o.FalseShare
			if len(o.Alarms) > 0 {
				falsely++
			}
			continue
		}
		f.Killed++
		withdrawn += o.Withdrawn
		if !o.Hit {
			continue
		}
		hits++
		lead += min(o.Lead, leadCap) / 60
		leads = append(leads, o.Lead/60)
		for q, e := range o.TimeError {
			errs[q] = append(errs[q], e)
		}
		coverage += o.Coverage
		if o.Answers > 0 {
			widths = append(widths, o.Width)
		}
	}
	per := func(a float64, n int) float64 { return a / float64(n) } // NaN for 0/0
	f.Recall, f.Precision = per(float64(hits), f.Killed), per(float64(hits), hits+falsely)
	f.F1 = 2 * f.Precision * f.Recall / (f.Precision + f.Recall)
	f.FalseAlarmRate, f.FalseAlarmShare = per(float64(falsely), f.Quiet), per(share, f.Quiet)
	f.Withdrawn, f.MeanLead, f.MedianLead = per(float64(withdrawn), f.Killed), per(lead, f.Killed), median(leads)
	for _, q := range Shares {
		f.TimeError[q] = median(errs[q])
	}
	f.Coverage, f.Width, f.Brier = per(coverage, hits), median(widths), per(brier, alarmed)
	return f
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
