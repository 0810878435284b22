package finding

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// FormatBytes writes an amount of memory (bytes) as people read it: 18.2 MiB.
func FormatBytes(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "an unknown amount"
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(v) >= u.size {
			if math.Abs(v/u.size) >= 100 {
				return fmt.Sprintf("%.0f %s", v/u.size, u.name)
			}
			return fmt.Sprintf("%.3g %s", v/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

// FormatDuration writes a duration as people read it: 7m23s, 2h5m, 3d4h.
func FormatDuration(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Round(time.Second).String()
}

// FormatCountdown writes the time that is left until an event: "in 7m23s", or "any moment now".
func FormatCountdown(left time.Duration) string {
	if left < time.Second {
		return "any moment now"
	}
	return "in " + FormatDuration(left)
}

// TitleAt is the title as it reads at another time. A prediction's ends with a countdown, as of LastSeen; when it is over, with
// how it ended.
func (f Finding) TitleAt(now time.Time) string {
	if f.Forecast == nil {
		return f.Title
	}
	rest, ok := strings.CutSuffix(f.Title, FormatCountdown(f.Forecast.At.Sub(f.LastSeen)))
	switch {
	case !ok:
		return f.Title
	case f.State == Active:
		return rest + FormatCountdown(f.Forecast.At.Sub(now))
	case len(f.Effects) > 0:
		return strings.TrimSpace(rest) + ": it came true"
	}
	return strings.TrimSpace(rest) + ": no longer expected"
}
