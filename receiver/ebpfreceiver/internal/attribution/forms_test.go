//go:build linux

package attribution

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

var goforms = &program{dir: "goforms", args: []string{"go", "build", "-ldflags=-s -w", "-o", "OUT", "."}}

// Whatever the form in which a program holds on to memory, who holds it is named, and not who makes thirty times as much garbage of the
// same size.
func TestGoForms(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  []string
		room int64    // MiB that it may have; 0: 96
		want []string // is named
		may  []string // may be as well, and nothing else
		kept bool     // it is no leak, and nobody is killed for it
	}{
		"visits":    {want: []string{"main.keepVisits ← main.main"}},
		"numbers":   {want: []string{"main.keepNumbers ← main.main"}},
		"subslice":  {want: []string{"main.keepSubslice ← main.main"}},
		"substring": {want: []string{"main.keepSubstring ← main.main"}},
		"tiny":      {want: []string{"main.keepTiny ← main.main"}},
		"nodes":     {want: []string{"main.keepNodes ← main.main"}},
		"small":     {want: []string{"main.keepSmall ← main.main"}},
		"large":     {want: []string{"main.keepLarge ← main.main"}},
		"mixed":     {want: []string{"main.keepMixed ← main.main"}},
		"queued":    {want: []string{"main.keepQueued ← main.main"}},
		"channel":   {want: []string{"main.keepChannel ← main.main"}},
		"timers":    {want: []string{"main.keepTimers ← main.main"}},
		"tickers":   {want: []string{"main.keepTickers ← main.main"}},
		"closures":  {want: []string{"main.keepClosures ← main.main"}},
		"contexts":  {want: []string{"main.keepContexts ← main.main"}},
		"items":     {want: []string{"example.com/goforms/lru.(*Cache).Add ← main.keepItems ← main.main"}},
		"generic":   {want: []string{"example.com/goforms/lru.(*Table[...]).Put ← main.keepGeneric ← main.main"}},
		"embedded":  {want: []string{"example.com/goforms/lru.(*Log).Store ← main.keepEmbedded ← main.main"}},
		"synced":    {want: []string{"main.keepSynced ← main.main"}},
		"text":      {want: []string{"main.keepText ← main.main"}},
		"finalized": {want: []string{"main.keepFinalized ← main.main"}},
		"deferred":  {want: []string{"main.deferEndlessly"}},
		"slow":      {args: []string{"-rate", "800000", "-churn", "5"}, want: []string{"main.keepMany ← main.main"}},
		"senders":   {want: []string{"main.keepSenders ← main.main"}},
		"selects":   {want: []string{"main.keepSelects ← main.main"}},
		"lockers":   {want: []string{"main.keepLockers ← main.main"}},
		"waiters":   {want: []string{"main.keepWaiters ← main.main"}},
		"pumps":     {want: []string{"example.com/goforms/pump.Start ← main.keepPumpA ← main.keepPumps ← main.main", "example.com/goforms/pump.Start ← main.keepPumpB ← main.keepPumps ← main.main"}, may: []string{"main.keepPumpA ← main.keepPumps ← main.main", "main.keepPumpB ← main.keepPumps ← main.main"}},
		"bodies": {
			args: []string{"-rate", "400000"},
			want: []string{"net/http.(*Server).Serve ← main.main", "net/http.(*Transport).dialConn ← main.keepBodies ← main.main"},
			may: []string{
				"net/http.(*connReader).startBackgroundRead ← main.main", "bufio.NewReaderSize ← main.main", "bufio.NewWriterSize ← main.main",
				"bufio.NewReaderSize ← main.keepBodies ← main.main", "bufio.NewWriterSize ← main.keepBodies ← main.main", "main.keepBodies ← main.main",
				"net/http.newBufioReader ← main.main", "net/http.newBufioWriterSize ← main.main",
			},
		},
		"conns":   {want: []string{"main.read ← main.keepConns ← main.main", "main.keepConns ← main.main"}},
		"one CPU": {args: []string{"-form", "nodes"}, env: []string{"GOMAXPROCS=1"}, want: []string{"main.keepNodes ← main.main"}},

		"eight CPUs":       {args: []string{"-form", "closures"}, env: []string{"GOMAXPROCS=8"}, want: []string{"main.keepClosures ← main.main"}},
		"collected seldom": {args: []string{"-form", "small"}, env: []string{"GOGC=400"}, room: 160, want: []string{"main.keepSmall ← main.main"}},
		"a memory limit":   {args: []string{"-form", "items"}, env: []string{"GOGC=off", "GOMEMLIMIT=32MiB"}, want: []string{"example.com/goforms/lru.(*Cache).Add ← main.keepItems ← main.main"}},
		"much garbage":     {args: []string{"-form", "nodes", "-churn", "200"}, want: []string{"main.keepNodes ← main.main"}},
		"a large heap":     {args: []string{"-form", "items", "-ballast", "300000000", "-churn", "100"}, room: 450, want: []string{"example.com/goforms/lru.(*Cache).Add ← main.keepItems ← main.main"}},

		"pooled":     {kept: true},
		"recent":     {kept: true},
		"warm up":    {kept: true},
		"expiring":   {kept: true},
		"flushed":    {kept: true},
		"slow alone": {args: []string{"-rate", "400000", "-churn", "10"}, kept: true},
		"nothing":    {kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(append(slices.Clone(c.env), goforms.build(t), "-form", name), c.args...)
			w := start(t, cmp.Or(c.room, 96)*megabyte, "env", args...)
			if c.kept {
				got := w.look(t)
				assert.False(t, got.Grows)
				assert.Empty(t, got.Sites)
				assert.NoError(t, syscall.Kill(w.cmd.Process.Pid, 0), "it lives")
				return
			}
			got := w.named(t)
			var named []string
			var share float64
			for _, s := range got.Sites {
				assert.Equal(t, Retained, s.Grade)
				if s.Share >= 0.05 {
					share += s.Share
					named = append(named, s.Text())
				}
			}
			assert.Subset(t, named, c.want)
			assert.Subset(t, append(c.want, c.may...), named)
			assert.Greater(t, share, 0.6)
			w.killed(t)
		})
	}
}

// A cache whose entries are replaced ten times as fast as others of their size are kept for good is not named beside these, though they stay for
// longer than a request takes.
func TestGoBesideCache(t *testing.T) {
	t.Parallel()
	w := start(t, 200*megabyte, goforms.build(t), "-form", "beside", "-rate", "300000", "-churn", "10")
	time.Sleep(6 * time.Second) // the cache is full
	holds(t, w.lookFor(t, Options{Window: 25 * time.Second, Longest: 50 * time.Second, Duty: Duty}), "main.keepBeside ← main.main")
	w.killed(t)
}

// What a program maps beside its heap is not told to have stopped growing: which kind of memory it is, is said.
func TestGoMapped(t *testing.T) {
	t.Parallel()
	w := start(t, 96*megabyte, goforms.build(t), "-form", "mapped")
	got := w.look(t)
	assert.True(t, got.Grows)
	assert.Empty(t, got.Sites)
	assert.Contains(t, got.explain(), "ever more memory beside its heap")
	assert.Contains(t, got.explain(), "what grows is "+process.KindAnonymous)
	assert.Greater(t, got.Unattributed, 0.5*got.Growth)
	w.killed(t)
}

// Of a container's processes, the one that holds it is found.
func TestGoWorker(t *testing.T) {
	t.Parallel()
	w := start(t, 64*megabyte, goforms.build(t), "-form", "nodes", "-worker")
	time.Sleep(2 * time.Second)
	b, err := os.ReadFile(filepath.Join(w.cgroup.Folder, "cgroup.procs"))
	require.NoError(t, err)
	var pids []int
	for _, field := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		pids = append(pids, pid)
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	}
	require.Len(t, pids, 2)
	r, err := Run(t.Context(), pids, Options{Window: 10 * time.Second, Longest: 40 * time.Second, Duty: Duty})
	require.NoError(t, err)
	sites := r.Sites()
	require.NotEmpty(t, sites, r.Answer().Reason)
	assert.Equal(t, "main.keepNodes ← main.main", sites[0].Text())
	assert.Greater(t, sites[0].Share, 0.85)
}
