package cgroupreceiver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

const (
	// rescan is how often all cgroups are looked through for what notifications missed (a full queue, a watch refused).
	rescan = time.Second
	// settle is for how long a cgroup that the kernel reported out of memory is read again and again: the notification of
	// cgroup v1 comes before the kill.
	settle = time.Second
	// settleEvery is the distance between two of these reads. A killed process may be gone, and its cgroup with it, within
	// a few milliseconds.
	settleEvery = time.Millisecond
)

// eventsReceiver tells OOM kills and vanished cgroups at once, as log events.
type eventsReceiver struct {
	cfg       *Config
	set       receiver.Settings
	telemetry *metadata.TelemetryBuilder
	next      consumer.Logs
	cancel    context.CancelFunc
	done      chan struct{}

	// What follows belongs to the loop.
	h       hierarchy
	reader  *reader
	folders *fsnotify.Watcher // nil where the kernel has none for us
	ooms    *oomWatcher       // cgroup v1 only
	watched map[string]*watched
	// notified counts those of them that the kernel notifies of.
	notified int
	mark     int
	// complete says that the last scan left no cgroup out: one that the next finds is new.
	complete bool
	// refused and unlisted say that the log has it that the kernel refuses to notify, and that some cgroups cannot be listed.
	refused, unlisted bool
}

// Start opens the hierarchy and begins to watch.
func (r *eventsReceiver) Start(context.Context, component.Host) error {
	if err := r.open(); err != nil || r.reader == nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	go r.run(ctx)
	return nil
}

// open opens what the loop works with: nothing where there is no memory controller.
func (r *eventsReceiver) open() error {
	h, err := open(r.cfg)
	if err != nil {
		return err
	}
	r.h, r.watched = h, map[string]*watched{}
	if h.memory.folder == "" {
		r.set.Logger.Warn("this host has no memory controller: there are no OOM kills to be told of", zap.String("mount", r.cfg.Mount))
		return nil
	}
	if r.reader, err = newReader(h, 0); err != nil {
		return err
	}
	if !h.memory.v2 {
		if r.ooms, err = newOOMWatcher(); err != nil {
			return errors.Join(fmt.Errorf("watch for OOM events: %w", err), r.reader.close())
		}
	}
	if r.folders, err = fsnotify.NewBufferedWatcher(1024); err != nil {
		r.folders = nil
		r.set.Logger.Warn("the kernel does not notify of cgroups; all are looked at every second instead (fs.inotify.max_user_instances may be used up)",
			zap.Error(err))
	}
	return nil
}

// Shutdown stops watching.
func (r *eventsReceiver) Shutdown(context.Context) error {
	defer r.telemetry.Shutdown()
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	<-r.done
	return r.close()
}

func (r *eventsReceiver) close() error {
	err := r.reader.close()
	if r.folders != nil {
		err = errors.Join(err, r.folders.Close())
	}
	if r.ooms != nil {
		err = errors.Join(err, r.ooms.close())
	}
	return err
}

func (r *eventsReceiver) run(ctx context.Context) {
	defer close(r.done)
	scan := time.NewTicker(rescan)
	defer scan.Stop()
	again := time.NewTicker(settleEvery)
	again.Stop()
	defer again.Stop()
	settling := map[string]time.Time{} // until when
	var ooms <-chan string
	if r.ooms != nil {
		ooms = r.ooms.events
	}
	var changes <-chan fsnotify.Event
	var errs <-chan error
	if r.folders != nil {
		changes, errs = r.folders.Events, r.folders.Errors
	}
	r.scan(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-scan.C:
			r.scan(ctx)
		case cgroup := <-ooms:
			r.look(ctx, cgroup)
			if len(settling) == 0 {
				again.Reset(settleEvery)
			}
			settling[cgroup] = time.Now().Add(settle)
		case e, ok := <-changes:
			if !ok {
				return
			}
			r.changed(ctx, e)
		case <-errs:
			// The queue overflowed: the next scan sees what was missed.
		case now := <-again.C:
			for cgroup, until := range settling {
				if r.watched[cgroup] == nil || now.After(until) {
					delete(settling, cgroup)
					continue
				}
				r.look(ctx, cgroup)
			}
			if len(settling) == 0 {
				again.Stop()
			}
		}
	}
}

// changed follows a change in the folders: a new cgroup, one that is gone, or, on v2, memory.events of a cgroup.
func (r *eventsReceiver) changed(ctx context.Context, e fsnotify.Event) {
	rel, err := filepath.Rel(r.h.memory.folder, e.Name)
	if err != nil || strings.HasPrefix(rel, "..") {
		return
	}
	cgroup := "/" + rel
	switch {
	case e.Has(fsnotify.Write):
		if strings.HasSuffix(cgroup, "/memory.events") {
			r.look(ctx, parent(cgroup)) // the cgroup whose file it is
		}
	case e.Has(fsnotify.Create):
		r.born(ctx, cgroup)
	case e.Has(fsnotify.Remove):
		r.died(ctx, cgroup)
	}
}
