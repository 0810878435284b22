//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	leak "github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution"
)

// A look that the kernel holds, as at a file of a server that does not answer, holds up nobody else; and there is one such at most.
func TestALookIsHeld(t *testing.T) {
	var p probes
	var looks atomic.Int32
	release := make(chan struct{})
	held := func() (*leak.Report, error) {
		looks.Add(1)
		<-release
		return nil, errors.New("it was late")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.unlessHeld(ctx, time.Millisecond, held)
	require.ErrorIs(t, err, errHeld)
	for range 3 {
		_, err := p.unlessHeld(t.Context(), time.Minute, held)
		require.ErrorContains(t, err, "has not come back")
	}
	assert.EqualValues(t, 1, looks.Load())
	close(release)
	require.Eventually(t, func() bool { return !p.held.Load() }, patience, poll)

	// One that is asked to end, and does.
	want := new(leak.Report)
	got, err := p.unlessHeld(ctx, time.Minute, func() (*leak.Report, error) { return want, nil })
	require.NoError(t, err)
	assert.Same(t, want, got)
	assert.False(t, p.held.Load())
}
