package finding

import (
	"math"
	"testing"
	"time"
)

func TestFormatBytes(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 18.2 * (1 << 20): "18.2 MiB", 200 << 20: "200 MiB", 1.5 * (1 << 30): "1.5 GiB",
		-3 * (1 << 20): "-3 MiB", math.Inf(1): "an unknown amount",
	} {
		if got := FormatBytes(v); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 7*time.Minute + 23*time.Second: "7m23s", 125 * time.Minute: "2h5m", 76 * time.Hour: "3d4h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestTitleAtCountsDown(t *testing.T) {
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := Finding{State: Active, Title: "api will be OOM-killed in 2m0s", LastSeen: seen, Forecast: &Forecast{At: seen.Add(2 * time.Minute)}}
	for _, c := range []struct {
		name  string
		f     Finding
		after time.Duration
		want  string
	}{
		{"as told", f, 0, "api will be OOM-killed in 2m0s"},
		{"later", f, 30 * time.Second, "api will be OOM-killed in 1m30s"},
		{"overdue", f, 3 * time.Minute, "api will be OOM-killed any moment now"},
		{"withdrawn", func() Finding { f := f; f.State = Resolved; return f }(), time.Minute, "api will be OOM-killed: no longer expected"},
		{"over", func() Finding { f := f; f.State, f.Effects = Resolved, []string{"x"}; return f }(), time.Minute, "api will be OOM-killed: it came true"},
		{"no countdown in the title", func() Finding { f := f; f.Title = "api is doomed"; return f }(), time.Minute, "api is doomed"},
	} {
		if got := c.f.TitleAt(seen.Add(c.after)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
