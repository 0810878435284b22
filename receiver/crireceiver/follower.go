package crireceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

const (
	// again and againAtMost are how long a lost runtime waits before the next try.
	again       = time.Second
	againAtMost = 30 * time.Second
	// relist is how often a runtime that sends events is asked for all it has nevertheless: for images and containers that could
	// not be started, of which there are no events, and for what was lost on the way.
	relist = 10 * time.Second
)

// follower follows what one runtime does. It connects again when the connection is lost; what happened meanwhile is then told
// by the difference.
type follower struct {
	socket string
	// asked says that somebody asked for this socket: then it matters that nothing is there.
	asked     bool
	poll      time.Duration
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	tracker   *tracker
	// found is told which runtime answers.
	found func(*runtime)
}

// run follows until ctx ends. It does not need the runtime to be there: an agent outlives it.
func (f *follower) run(ctx context.Context) {
	wait, told := again, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := f.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if told != err.Error() {
			told = err.Error()
			f.say(err)
		}
		if time.Since(began) > againAtMost {
			wait = again
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, againAtMost)
	}
}

// say says why there is nothing to follow: loudly where somebody asked for it, or where something was there before.
func (f *follower) say(err error) {
	level := zap.DebugLevel
	if f.asked || f.tracker.synced {
		level = zap.WarnLevel
	}
	f.logger.Log(level, "cannot follow the container runtime; trying again", zap.String("socket", f.socket), zap.Error(err))
}

// errTwice says that a socket is another one by a second name.
var errTwice = errors.New("it is another socket by a second name")

// there says whether a socket is worth a try.
func there(socket string, asked bool) error {
	at, err := filepath.EvalSymlinks(socket)
	if err != nil {
		return fmt.Errorf("look for a container runtime: %w", err)
	}
	if info, err := os.Stat(at); err != nil || info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("look for a container runtime: %s is no socket", socket)
	}
	if !asked && at != socket && slices.Contains(usual, at) {
		return errTwice
	}
	return nil
}

// session follows for as long as a connection lasts.
func (f *follower) session(ctx context.Context) error {
	if err := there(f.socket, f.asked); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := connect(ctx, f.socket)
	if err != nil {
		return err
	}
	defer r.close()
	f.telemetry.ReceiverCriConnects.Add(ctx, 1)
	f.found(r)
	if !f.tracker.synced {
		f.tracker.since = time.Now().UnixNano()
	}
	// First the events, then the list: nothing falls between.
	events, why := r.subscribe(ctx)
	every := time.NewTicker(relist)
	defer every.Stop()
	var soon <-chan time.Time // where there is something to ask again
	for {
		if err := f.sync(ctx, r); err != nil {
			return err
		}
		for more := true; more; {
			if soon == nil && len(f.tracker.doubtful) > 0 {
				soon = time.After(f.poll)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-every.C:
				more = false
			case <-soon:
				more, soon = false, nil
			case e, ok := <-events:
				if ok {
					f.tracker.take(ctx, e)
					continue
				}
				if err := <-why; !errors.Is(err, errNoEvents) {
					return fmt.Errorf("receive the events of the container runtime: %w", err)
				}
				events = nil
				every.Reset(f.poll)
			}
		}
	}
}

func (f *follower) sync(ctx context.Context, r *runtime) error {
	inv, err := r.list(ctx)
	if err != nil {
		return err
	}
	if err := f.tracker.sync(ctx, inv, r.status); err != nil {
		f.logger.Debug("the container runtime does not tell how a container is; asking again", zap.String("socket", f.socket), zap.Error(err))
	}
	return nil
}
