//go:build linux

package golang

import (
	"io"
	"time"

	"github.com/your-org/tapio/bpf"
)

const (
	// hitCost is what a hit costs the program, twice what was measured; markCost what one does that wakes somebody while the world is stopped.
	hitCost, markCost = 4 * time.Microsecond, 20 * time.Microsecond
	// leastOn is how long the probe stays before it is judged.
	leastOn = 100 * time.Millisecond
	// turn is how often it is read what the kernel has told without waking anybody.
	turn = leastOn / 4
	// wakeEvery is how often it wakes at most (bpf/goheap.bpf.c).
	wakeEvery = 5 * time.Millisecond
)

// throttled is a probe that is taken away for a while when it costs more than it may. What lives is not overlooked meanwhile:
// there are fewer samples.
type throttled struct {
	attach func() (io.Closer, error)
	hits   func(*bpf.GoHeapState) uint64
	cost   time.Duration // of a hit
	on     io.Closer     // nil while it rests
	turned time.Time     // when it was attached, or is to be again
	before uint64        // hits then
}

func (t *throttled) start() (err error) {
	if t.on, err = t.attach(); err == nil {
		t.turned = time.Now()
	}
	return err
}

func (t *throttled) step(state *bpf.GoHeapState, duty float64) error {
	now := time.Now()
	if t.on == nil {
		if now.Before(t.turned) {
			return nil
		}
		t.before = t.hits(state)
		return t.start()
	}
	if now.Sub(t.turned) < leastOn {
		return nil
	}
	hits := t.hits(state) - t.before
	t.before = t.hits(state)
	cost := time.Duration(hits) * t.cost
	if cost.Seconds() <= duty*now.Sub(t.turned).Seconds() {
		t.turned = now
		return nil
	}
	// Until it is gone it costs on; afterwards the program catches up.
	err := t.on.Close()
	t.on = nil
	on := time.Since(t.turned)
	cost = time.Duration(float64(cost) * on.Seconds() / now.Sub(t.turned).Seconds())
	t.turned = time.Now().Add(time.Duration(cost.Seconds()/duty*float64(time.Second)) - on)
	return err
}
