package forecast

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// stateVersion is that of the form below; another one is not read.
const stateVersion = 2

// state is a series as it is stored: at most some 10 KB of JSON.
type state struct {
	Version  int            `json:"version"`
	Origin   time.Time      `json:"origin,omitzero"`
	Last     time.Time      `json:"last,omitzero"`
	Samples  int            `json:"samples,omitempty"`
	Limit    float64        `json:"limit,omitempty"`
	Level    float64        `json:"level,omitempty"`
	Move     float64        `json:"move,omitempty"`
	Noise    float64        `json:"noise,omitempty"`
	Peak     float64        `json:"peak,omitempty"`
	Faults   float64        `json:"faults,omitempty"`
	Refusals float64        `json:"refusals,omitempty"`
	Course   [][][2]float64 `json:"course,omitempty"` // rows of points: time and level
	Swings   swings         `json:"swings,omitzero"`
	Belief   Belief         `json:"belief,omitzero"`
	Lives    []Life         `json:"lives,omitempty"`
}

// MarshalJSON writes all that a series needs to go on, but for its Calibration.
func (s Series) MarshalJSON() ([]byte, error) {
	st := state{Version: stateVersion, Origin: s.origin, Last: s.last, Samples: s.samples, Limit: s.limit, Level: s.level,
		Move: s.move, Noise: s.noise, Peak: s.peak, Faults: s.faults, Refusals: s.refusals, Swings: s.swings, Belief: s.belief,
		Lives: s.Memory.Lives}
	for i := range rows {
		if s.course.n[i] == 0 {
			break
		}
		row := make([][2]float64, s.course.n[i])
		for j := range row {
			row[j] = [2]float64{s.course.rows[i][j].t, s.course.rows[i][j].low}
		}
		st.Course = append(st.Course, row)
	}
	return json.Marshal(st)
}

// UnmarshalJSON takes up what MarshalJSON wrote. What can't have been written by it is an error, and changes nothing.
func (s *Series) UnmarshalJSON(b []byte) error {
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("decode a forecast series: %w", err)
	}
	if st.Version != stateVersion {
		return fmt.Errorf("forecast series has version %d, want %d", st.Version, stateVersion)
	}
	r := Series{Calibration: s.Calibration, origin: st.Origin, last: st.Last, samples: st.Samples, limit: st.Limit,
		level: st.Level, move: st.Move, noise: st.Noise, peak: st.Peak, faults: st.Faults, refusals: st.Refusals,
		swings: st.Swings, belief: st.Belief}
	if err := st.check(); err != nil {
		return fmt.Errorf("forecast series: %w", err)
	}
	for i, row := range st.Course {
		for j, p := range row {
			r.course.rows[i][j] = point{t: p[0], low: p[1]}
		}
		r.course.n[i] = uint8(len(row))
	}
	for _, l := range st.Lives {
		r.Memory.Add(l)
	}
	if r.samples > 0 {
		r.forecasted = r.foresee()
	}
	*s = r
	return nil
}

// sane is more than any amount or time that is ever stored.
const sane = math.MaxInt64

func (st *state) check() error {
	if len(st.Course) > rows {
		return fmt.Errorf("course has %d rows, want at most %d", len(st.Course), rows)
	}
	if st.Samples < 0 || st.Samples > 0 && (len(st.Course) == 0 || len(st.Course[0]) == 0) || st.Samples == 0 && len(st.Course) > 0 {
		return fmt.Errorf("%d samples and a course of %d rows do not go together", st.Samples, len(st.Course))
	}
	if st.Samples > 0 && (!(st.Limit > 0) || st.Origin.IsZero() || st.Last.Before(st.Origin)) {
		return errors.New("has samples but no limit, or ends before it begins")
	}
	w := &st.Swings
	for name, v := range map[string]float64{"limit": st.Limit, "level": st.Level, "noise": st.Noise, "peak": st.Peak,
		"faults": st.Faults, "refusals": st.Refusals, "swings.High": w.High, "swings.Low": w.Low, "swings.Floor": w.Floor,
		"swings.HighAt": w.HighAt, "swings.LowAt": w.LowAt, "swings.FloorAt": w.FloorAt, "swings.Depth": w.Depth,
		"swings.Rise": w.Rise, "swings.Count": float64(w.Count)} {
		if !(v >= 0) || v > sane {
			return fmt.Errorf("%s is %g, want 0 or more", name, v)
		}
	}
	if math.Abs(st.Move) > sane || math.Abs(st.Belief.Odds) > 1000 {
		return errors.New("move or belief out of range")
	}
	now := st.Last.Sub(st.Origin).Seconds()
	for i := range st.Course {
		if len(st.Course[i]) > columns {
			return fmt.Errorf("course has %d points in row %d, want at most %d", len(st.Course[i]), i, columns)
		}
		for j := len(st.Course[i]) - 1; j >= 0; j-- {
			p := st.Course[i][j]
			if !(p[0] >= 0) || p[0] > now || !(p[1] >= 0) || p[1] > sane {
				return fmt.Errorf("course has the point %v in row %d, want rising times up to %g s and levels from 0 on", p, i, now)
			}
			now = p[0]
		}
	}
	return nil
}
