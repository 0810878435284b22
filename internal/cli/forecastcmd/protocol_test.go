package forecastcmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// leak is a trace that grows by 1 MB every 15 s from 10 MB on.
func leak(id string, samples int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"trace":%q,"limit":134217728}`+"\n", id)
	for i := range samples {
		fmt.Fprintf(&b, `{"t":%d,"usage":%d,"anon":%d,"file":0,"shmem":0}`+"\n", i*15, 10_000_000+i*1_000_000, 10_000_000+i*1_000_000)
	}
	return b.String()
}

func TestEverySampleIsAnsweredWithOneLine(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), strings.NewReader(leak("a", 100)+"\n  \n"+leak("b", 2)), &out))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 102)
	assert.Equal(t, "{}", lines[0])
	assert.Contains(t, lines[99], `"oom_at":`)
	assert.Equal(t, "{}", lines[100], "a new trace forgets the one before")
}

// A predictor that is scored must answer before it sees the next sample: nothing may wait in a buffer.
func TestAnswersComeInLockStep(t *testing.T) {
	in, send := io.Pipe()
	receive, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Run(context.Background(), in, out); out.Close() }()
	buf := make([]byte, 4096)
	for i, line := range strings.Split(strings.TrimSpace(leak("a", 30)), "\n") {
		_, err := io.WriteString(send, line+"\n")
		require.NoError(t, err)
		if i == 0 {
			continue
		}
		n, err := receive.Read(buf)
		require.NoError(t, err)
		require.True(t, bytes.HasSuffix(buf[:n], []byte("}\n")))
	}
	require.NoError(t, send.Close())
	require.NoError(t, <-done)
}

func TestBadLinesAreNamed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	start := `{"trace":"a","limit":100}` + "\n"
	for name, c := range map[string]struct{ in, want string }{
		"garbage":           {start + "hello\n", "line 2: not a JSON object"},
		"not an object":     {start + "[1]\n", "line 2: not a JSON object: it is a list, want a map of fields"},
		"unknown":           {start + `{"x":1}` + "\n", "line 2: neither a start"},
		"no trace":          {`{"t":1,"anon":5}` + "\n", `line 1: a sample before any`},
		"no limit":          {`{"trace":"a"}` + "\n", `line 1: start of trace "a": limit is 0, want`},
		"limit below zero":  {`{"trace":"a","limit":-1}` + "\n", `limit is -1, want`},
		"nothing measured":  {start + `{"t":1}` + "\n", `line 2: sample: neither "anon" nor "usage"`},
		"wrong type":        {start + `{"t":1,"anon":"x"}` + "\n", "line 2: sample: anon is text, want a number"},
		"absurd time":       {start + `{"t":1e300,"anon":1}` + "\n", "line 2: sample: t is 1e+300"},
		"too large a float": {start + `{"t":1,"anon":1e999}` + "\n", "line 2: sample: anon is 1e999, want a number"},
		"an endless line":   {start + strings.Repeat(" ", trajectory.MaxLine+1) + "\n", "line 2: longer than 65536 bytes"},
		"truncated":         {start + `{"t":1,"anon":`, "line 2: not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, Run(t.Context(), strings.NewReader(c.in), io.Discard), c.want)
		})
	}
}

// What Windows writes is read: a byte order mark, and lines that end in CR LF.
func TestLinesOfWindows(t *testing.T) {
	var out strings.Builder
	require.NoError(t, Run(t.Context(), strings.NewReader("\ufeff"+strings.ReplaceAll(leak("a", 2), "\n", "\r\n")), &out))
	assert.Equal(t, "{}\n{}\n", out.String())
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAClosedOutputEndsIt(t *testing.T) {
	assert.ErrorIs(t, Run(t.Context(), strings.NewReader(leak("a", 2)), broken{}), io.ErrClosedPipe)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, Run(ctx, strings.NewReader(leak("a", 2)), io.Discard), context.Canceled)
}

// Whoever waits for a line that does not come is interrupted all the same.
func TestInterruptedWhileItWaits(t *testing.T) {
	in, send := io.Pipe()
	defer send.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, in, io.Discard) }()
	_, err := io.WriteString(send, leak("a", 1)) // it has begun
	require.NoError(t, err)
	cancel()
	select {
	case err := <-ended:
		assert.ErrorIs(t, err, context.Canceled)
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
	}
}

func TestCommand(t *testing.T) {
	var out bytes.Buffer
	cmd := New(strings.NewReader(leak("a", 40)), &out, io.Discard)
	cmd.SetArgs(nil)
	require.NoError(t, cmd.ExecuteContext(t.Context()))
	assert.Equal(t, 40, strings.Count(out.String(), "\n"))
}

// FuzzRun: whatever comes in, it ends with an error or with one well-formed answer a sample; it never crashes.
func FuzzRun(f *testing.F) {
	f.Add(leak("a", 20))
	f.Add(`{"trace":"a","limit":100}` + "\n" + `{"t":-5,"anon":-1,"usage":1e308,"file":-1e308}` + "\n" + `{"t":1,"anon":3,"limit":-2}`)
	f.Add("\x00\n{}")
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		if err := Run(t.Context(), strings.NewReader(in), &out); err != nil {
			return
		}
		for _, l := range strings.Split(out.String(), "\n") {
			if l != "" && (!strings.HasPrefix(l, "{") || !strings.HasSuffix(l, "}")) {
				t.Fatalf("not an answer: %q", l)
			}
		}
	})
}
