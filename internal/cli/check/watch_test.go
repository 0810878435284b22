package check

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/clitest"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a source that tells some changes, and answers as answer does.
type told struct {
	changes []source.Change
	answer  func(context.Context) (finding.Report, error)
}

func (told) String() string { return "told" }

func (s told) Report(ctx context.Context, _ source.Query) (finding.Report, error) {
	return s.answer(ctx)
}

func (s told) Watch(ctx context.Context, _ source.Query, see func(source.Change) error) error {
	for _, c := range s.changes {
		if err := see(c); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func layers(states ...finding.CoverageState) []finding.Coverage {
	names := []finding.Layer{finding.LayerCgroup, finding.LayerEBPF}
	all := []finding.Coverage{}
	for i, s := range states {
		all = append(all, finding.Coverage{Layer: names[i], State: s, Reason: "a reason"})
	}
	return all
}

// A page goes on, and does not say that all is well, when its source answers no more.
func TestPageOfASourceThatIsSilent(t *testing.T) {
	well := finding.Report{Source: finding.SourceCollector, Coverage: layers(finding.CoverageOK), Watched: map[string]int{"Cgroup": 3}, Summary: finding.Summary{Healthy: 3}}
	for name, c := range map[string]struct {
		answer func(context.Context) (finding.Report, error)
		// shows is what the last page must come to show, never what none may.
		shows, never []string
	}{
		"hangs": {func(ctx context.Context) (finding.Report, error) { <-ctx.Done(); return finding.Report{}, ctx.Err() },
			[]string{"12:00:20  told\n\nHEALTHY: 3 cgroups running normally\n"}, []string{"NOT SEEN"}},
		"fails": {func(context.Context) (finding.Report, error) { return finding.Report{}, errors.New("out of ink") },
			[]string{"UNKNOWN: no layer is fully seen, so that silence means nothing\nNOT SEEN: collector: not heard since 12:00:0", ": out of ink\n"}, nil},
		"is blind": {func(context.Context) (finding.Report, error) {
			return finding.Report{Source: finding.SourceCollector, Coverage: layers(finding.CoverageAbsent, finding.CoverageDegraded)}, nil
		}, []string{"UNKNOWN: no layer is fully seen, so that silence means nothing\nNOT SEEN: ebpf: a reason\n"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var out clitest.Screen
			var mu sync.Mutex
			at := now
			clock := func() time.Time { mu.Lock(); defer mu.Unlock(); at = at.Add(time.Second); return at }
			o := &Options{Env: cli.Env{Out: &out, Now: clock}, Output: "text", Watch: true, Source: told{changes: []source.Change{{Report: &well}}, answer: c.answer}}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- (&page{o: o, draw: time.Millisecond, ask: 5 * time.Millisecond}).show(ctx) }()
			require.Eventually(t, func() bool {
				for _, want := range c.shows {
					if !strings.Contains(out.String(), want) {
						return false
					}
				}
				return true
			}, 30*time.Second, time.Millisecond, "%v is not shown", c.shows)
			cancel()
			require.NoError(t, <-ended)
			for _, not := range c.never {
				assert.NotContains(t, out.String(), not)
			}
		})
	}
}

// What can no longer be seen is told in a line, once, and once when it is seen again: where findings are lines beside them, where they
// are JSON on the error output.
func TestLinesTellWhatIsNotSeen(t *testing.T) {
	first := finding.Report{Source: finding.SourceCollector, Coverage: layers(finding.CoverageOK, finding.CoverageDegraded)}
	lost := source.Unheard(first.Coverage, now, errors.New("no route"))
	changes := []source.Change{{Report: &first}, {Coverage: lost}, {Coverage: lost}, {Coverage: first.Coverage}, {Coverage: layers(finding.CoverageOK, finding.CoverageAbsent)},
		{Coverage: layers(finding.CoverageDegraded, finding.CoverageOK)}}
	const want = "12:00:00 NOT SEEN: ebpf: a reason\n12:00:00 NOT SEEN: collector: not heard since 12:00:00: no route\n12:00:00 SEEN AGAIN: collector\n" +
		"12:00:00 NOT SEEN: cgroup: a reason\n12:00:00 SEEN AGAIN: ebpf\n"
	for output, notes := range map[string]func(out, errOut *clitest.Screen) (*clitest.Screen, *clitest.Screen){
		"text": func(out, errOut *clitest.Screen) (*clitest.Screen, *clitest.Screen) { return out, errOut },
		"json": func(out, errOut *clitest.Screen) (*clitest.Screen, *clitest.Screen) { return errOut, out },
	} {
		var out, errOut clitest.Screen
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		o := &Options{Env: cli.Env{Out: &out, ErrOut: &errOut, Now: func() time.Time { return now }}, Output: output, Watch: true, Source: told{changes: changes}}
		go func() { ended <- watch(ctx, o) }()
		told, silent := notes(&out, &errOut)
		require.Eventually(t, func() bool { return len(told.String()) >= len(want) }, 30*time.Second, time.Millisecond)
		cancel()
		require.NoError(t, <-ended)
		assert.Equal(t, want, told.String(), output)
		assert.Empty(t, silent.String(), output)
	}
}

// A page ends where the terminal ends, after a resize too: what is worst stays on it.
func TestPageFits(t *testing.T) {
	text := "\x1b[2m12:00:00  told\x1b[0m\n\nCRITICAL: a\n  - aaaaaaaaaaaaaaaa\nWARNING: b\n  - b\n"
	for _, c := range []struct {
		name          string
		columns, rows int
		want          string
	}{
		{"nobody knows where it ends", 0, 0, text},
		{"there is room", 20, 7, text},
		{"to the last row, where a newline would scroll", 20, 6, strings.TrimSuffix(text, "\n")},
		{"too low", 20, 5, "\x1b[2m12:00:00  told\x1b[0m\n\nCRITICAL: a\n  - aaaaaaaaaaaaaaaa\n… 2 more lines"},
		{"too narrow", 15, 5, "\x1b[2m12:00:00  told\x1b[0m\n\nCRITICAL: a\n… 3 more lines"},
		{"one row", 20, 1, "… 6 more lines"},
	} {
		assert.Equal(t, c.want, fit(text, c.columns, c.rows), c.name)
	}

	var out clitest.Screen
	size := []int{80, 24}
	o := &Options{Env: cli.Env{Out: &out, Now: func() time.Time { return now }, Size: func() (int, int) { return size[0], size[1] }}, Output: "text", Watch: true, Source: told{}}
	p := &page{o: o, report: &finding.Report{Source: finding.SourceCollector, Coverage: layers(finding.CoverageOK), Watched: map[string]int{"Cgroup": 3}, Summary: finding.Summary{Healthy: 3}}}
	require.NoError(t, p.drawn())
	assert.Equal(t, "\x1b[H\x1b[2J12:00:00  told\n\nHEALTHY: 3 cgroups running normally\n", out.String())
	size = []int{80, 2}
	require.NoError(t, p.drawn())
	assert.True(t, strings.HasSuffix(out.String(), "\x1b[H\x1b[2J12:00:00  told\n… 2 more lines"), "%q", out.String())
}

// A finding that is told as JSON drives no terminal.
func TestJSONLinesAreClean(t *testing.T) {
	var out clitest.Screen
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	o := &Options{Env: cli.Env{Out: &out, ErrOut: &out, Now: func() time.Time { return now }}, Output: "json", Watch: true,
		Source: told{changes: []source.Change{{Finding: &finding.Finding{ID: "a", Title: "\u009b2J\x7f"}}}}}
	go func() { ended <- watch(ctx, o) }()
	require.Eventually(t, func() bool { return strings.HasSuffix(out.String(), "}\n") }, 30*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	assert.Contains(t, out.String(), `"title":"\u009b2J\u007f"`)
}
