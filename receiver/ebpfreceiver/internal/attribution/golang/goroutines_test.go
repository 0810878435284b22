//go:build linux

package golang

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Goroutines of which most take the place of others that have ended are counted by how many more there are, and so are their stacks.
func TestSince(t *testing.T) {
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	g := &Program{Process: p}
	const stack = 8 << 10
	at := place{created: 1, entry: 2}
	// look is at all of those from one number to another.
	look := func(from, to uint64) Goroutines {
		l := Goroutines{Step: 1, newest: to, by: map[place][]goroutine{}}
		for id := from; id <= to; id++ {
			l.by[at] = append(l.by[at], goroutine{id: id, stack: stack})
		}
		return l
	}
	for name, c := range map[string]struct {
		before, half, now Goroutines
		want              int
	}{
		"none of them ends":              {look(1, 100), look(1, 150), look(1, 200), 100},
		"connections come and go":        {look(1, 1000), look(501, 1512), look(801, 1832), 32},
		"they come and go, and are kept": {look(1, 1000), look(101, 1200), look(201, 1400), 200},
		"as many end as are started":     {look(1, 1000), look(101, 1100), look(201, 1200), 0},
		"they stopped to be added":       {look(1, 100), look(1, 200), look(1, 200), 0},
	} {
		added, err := g.Since(c.before, c.half, c.now)
		require.NoError(t, err, name)
		if c.want == 0 {
			assert.Empty(t, added, name)
			continue
		}
		require.Len(t, added, 1, name)
		assert.Equal(t, c.want, added[0].Count, name)
		assert.Equal(t, uint64(c.want*stack), added[0].StackBytes, name)
	}
}

// The heap is found wherever it was put, so that it is not taken for memory of C's.
func TestLayout(t *testing.T) {
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	g, err := Open(p)
	require.NoError(t, err)
	defer g.Close()
	const size = 100 << 20 // more than one arena
	ballast := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		ballast[i] = 1
	}
	l, err := g.Layout()
	require.NoError(t, err)
	u, err := p.Usage(l)
	require.NoError(t, err)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(ballast)
	assert.Greater(t, u[process.KindGoHeap], uint64(size))
	assert.InDelta(t, m.HeapInuse+m.StackInuse, u[process.KindGoHeap], size/4, "%v", u)
}
