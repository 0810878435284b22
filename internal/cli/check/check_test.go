package check

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestSince(t *testing.T) {
	for text, want := range map[string]time.Duration{"30m": 30 * time.Minute, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "2026-11-23T11:59:00Z": time.Minute,
		"2026-11-23T13:59:00+02:00": time.Minute} {
		at, err := sinceFlag(text, now)
		require.NoError(t, err, text)
		assert.Equal(t, want, now.Sub(at), text)
	}
	for _, text := range []string{"x", "0s", "-1h", "-1d", "d", "1d-5h", "2026-11-23", "999999999d", "99999d2000000h"} {
		_, err := sinceFlag(text, now)
		assert.ErrorContains(t, err, "--since is ", text)
	}
}

func FuzzSince(f *testing.F) {
	f.Add("1d2h")
	f.Add("-9223372036854775808ns")
	f.Fuzz(func(t *testing.T, text string) {
		at, err := sinceFlag(text, now)
		if _, isTime := time.Parse(time.RFC3339, text); isTime != nil && err == nil && text != "" && !at.Before(now) {
			t.Errorf("%q is %s, which is not before now", text, at)
		}
	})
}

// A source whose clock is ahead has seen nothing in the future.
func TestSure(t *testing.T) {
	ahead := now.Add(3 * time.Second)
	for want, f := range map[string]finding.Finding{
		"first seen 0s ago, confidence 0.90": {State: finding.Active, FirstSeen: ahead, Confidence: 0.9},
		"0s ago, foreseen 1m0s before, confidence 0.90": {State: finding.Active, FirstSeen: ahead, Confidence: 0.9,
			Outcome: &finding.Outcome{ActualAt: ahead, MadeAt: ahead.Add(-time.Minute)}},
	} {
		assert.Equal(t, want, sure(now, f))
	}
}

// Progress is for people at a terminal, and only where a look takes long.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	tell, done := progress(cli.Env{ErrOut: &out})
	assert.Nil(t, tell)
	done()
	tell, done = progress(cli.Env{ErrOut: &out, ErrTerminal: true})
	tell(kube.Progress{Objects: 500, Kinds: 1, Of: 23})
	done()
	assert.Empty(t, out.String(), "it has just begun")
	tell, done = progress(cli.Env{ErrOut: &out, ErrTerminal: true})
	time.Sleep(patience)
	tell(kube.Progress{Objects: 5500, Kinds: 3, Of: 23})
	done()
	assert.Equal(t, "\r\x1b[Klooking: 5500 objects, 3 of 23 kinds\r\x1b[K", out.String())
}
