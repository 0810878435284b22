package cgroupreceiver

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// The log events, and the attribute of the first.
const (
	eventOOMKill   = "cgroup.memory.oom_kill"
	eventRemoved   = "cgroup.removed"
	attrEventCount = "memory.event.count"
)

const (
	// rescan is how often all cgroups are looked through for what notifications missed (a full queue, a watch refused).
	rescan = time.Second
	// settle is for how long a cgroup that the kernel reported out of memory is read again and again: the notification of
	// cgroup v1 comes before the kill.
	settle = time.Second
	// settleEvery is the distance between two of these reads. A container that is killed is often gone in 50 ms.
	settleEvery = 5 * time.Millisecond
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
	folders *fsnotify.Watcher
	ooms    *oomWatcher // cgroup v1 only
	watched map[string]*watched
	first   bool
	refused bool
}

// watched is a cgroup whose events are followed.
type watched struct {
	identity identity
	kills    int64
	// until is when the repeated reads after a notification end.
	until time.Time
	mark  int
}

// Start opens the hierarchy and begins to watch.
func (r *eventsReceiver) Start(context.Context, component.Host) error {
	h, err := open(r.cfg)
	if err != nil {
		return err
	}
	r.h, r.reader, r.watched, r.first = h, newReader(h), map[string]*watched{}, true
	if r.folders, err = fsnotify.NewBufferedWatcher(1024); err != nil {
		return fmt.Errorf("watch cgroups: %w (fs.inotify.max_user_instances may be too low)", err)
	}
	if h.version == "1" {
		if r.ooms, err = newOOMWatcher(); err != nil {
			_ = r.folders.Close()
			return fmt.Errorf("watch for OOM events: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	go r.run(ctx)
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
	err := r.folders.Close()
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
	settling := map[string]bool{}
	var ooms <-chan string
	if r.ooms != nil {
		ooms = r.ooms.events
	}
	notify := func(cgroup string) {
		if w := r.watched[cgroup]; w != nil {
			r.look(ctx, cgroup)
			if r.ooms == nil {
				return // cgroup v2 notifies after it has counted
			}
			w.until = time.Now().Add(settle)
			if len(settling) == 0 {
				again.Reset(settleEvery)
			}
			settling[cgroup] = true
		}
	}
	r.scan(ctx)
	r.first = false
	for {
		select {
		case <-ctx.Done():
			return
		case <-scan.C:
			r.scan(ctx)
		case cgroup := <-ooms:
			notify(cgroup)
		case e, ok := <-r.folders.Events:
			if !ok {
				return
			}
			cgroup := r.cgroupOf(e.Name)
			switch {
			case e.Has(fsnotify.Write):
				if strings.HasPrefix(path.Base(cgroup), "memory.events") {
					notify(path.Dir(cgroup))
				}
			case e.Has(fsnotify.Create):
				r.adopt(ctx, cgroup)
			case e.Has(fsnotify.Remove):
				r.bury(ctx, cgroup)
			}
		case <-r.folders.Errors:
			// The queue overflowed: the next scan sees what was missed.
		case now := <-again.C:
			for cgroup := range settling {
				if w := r.watched[cgroup]; w == nil || now.After(w.until) {
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

// cgroupOf is the path of a cgroup, or of a file in one, below the mount point.
func (r *eventsReceiver) cgroupOf(file string) string {
	rel, err := filepath.Rel(r.h.memory, file)
	if err != nil {
		return "/"
	}
	return path.Join("/", rel)
}

// scan looks at every cgroup: new ones are adopted, vanished ones buried, and kills that no notification told are told.
func (r *eventsReceiver) scan(ctx context.Context) {
	mark := 0
	for _, w := range r.watched {
		mark = max(mark, w.mark)
	}
	mark++
	for _, root := range r.cfg.Roots {
		r.watch(ctx, filepath.Join(r.h.memory, root))
	}
	memory := r.h
	memory.pids = "" // the events are those of the memory controller
	err := memory.walk(r.cfg.Roots, r.cfg.Exclude, func(cgroup string) bool {
		if w := r.watched[cgroup]; w == nil {
			if !r.adopt(ctx, cgroup) {
				return true
			}
		} else {
			r.look(ctx, cgroup)
		}
		r.watched[cgroup].mark = mark
		return ctx.Err() == nil
	})
	if err != nil {
		r.set.Logger.Warn("cannot look through the cgroups", zap.Error(err))
		return
	}
	for cgroup, w := range r.watched {
		if w.mark != mark && ctx.Err() == nil {
			r.bury(ctx, cgroup)
		}
	}
}

// adopt begins to follow a cgroup. It returns false when there are too many.
func (r *eventsReceiver) adopt(ctx context.Context, cgroup string) bool {
	if r.watched[cgroup] != nil || cgroup == "/" {
		return true
	}
	if len(r.watched) >= r.cfg.MaxCgroups || len(r.watched) >= r.cfg.MaxWatches {
		r.telemetry.ReceiverCgroupUnwatched.Add(ctx, 1)
		return false
	}
	kills, ok := r.kills(cgroup)
	if !ok {
		return false // not a cgroup, or gone already
	}
	w := &watched{identity: identify(cgroup)}
	if r.first {
		w.kills = kills // it counted these before we looked
	}
	r.watched[cgroup] = w
	folder := filepath.Join(r.h.memory, cgroup)
	r.watch(ctx, folder)
	if r.ooms != nil {
		if err := r.ooms.add(cgroup, folder); err != nil && !gone(err) {
			r.unwatched(ctx, err)
		}
	} else {
		r.watch(ctx, filepath.Join(folder, "memory.events"))
	}
	if !r.first {
		r.look(ctx, cgroup) // what happened between its birth and the watch
	}
	return true
}

func (r *eventsReceiver) watch(ctx context.Context, file string) {
	if err := r.folders.Add(file); err != nil && !gone(err) {
		r.unwatched(ctx, err)
	}
}

func (r *eventsReceiver) unwatched(ctx context.Context, err error) {
	r.telemetry.ReceiverCgroupUnwatched.Add(ctx, 1)
	if !r.refused {
		r.refused = true
		r.set.Logger.Warn("the kernel refuses to notify of some cgroups; they are looked at every second instead", zap.Error(err))
	}
}

// kills reads how many processes the kernel killed in a cgroup so far.
func (r *eventsReceiver) kills(cgroup string) (int64, bool) {
	var kills int64
	found := false
	read := func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			if string(key) == "oom_kill" {
				kills, found = v, true
			}
		})
	}
	folder := filepath.Join(r.h.memory, cgroup)
	if r.h.version == "1" {
		r.reader.file(folder, "memory.oom_control", read)
		return kills, found
	}
	r.reader.file(folder, "memory.events.local", read)
	if !found {
		r.reader.file(folder, "memory.events", read)
	}
	return kills, found
}

// look tells what was killed since the last look.
func (r *eventsReceiver) look(ctx context.Context, cgroup string) {
	w := r.watched[cgroup]
	kills, ok := r.kills(cgroup)
	if !ok || kills <= w.kills {
		return
	}
	count := kills - w.kills
	w.kills = kills
	r.tell(ctx, cgroup, w.identity, func(rec plog.LogRecord) {
		rec.SetEventName(eventOOMKill)
		rec.SetSeverityNumber(plog.SeverityNumberError)
		rec.Body().SetStr(fmt.Sprintf("the kernel killed %d process(es) in %s for want of memory", count, cgroup))
		rec.Attributes().PutInt(attrEventCount, count)
	})
}

// bury tells that a cgroup is gone.
func (r *eventsReceiver) bury(ctx context.Context, cgroup string) {
	w := r.watched[cgroup]
	if w == nil {
		return
	}
	delete(r.watched, cgroup)
	if r.ooms != nil {
		r.ooms.remove(cgroup)
	}
	r.tell(ctx, cgroup, w.identity, func(rec plog.LogRecord) {
		rec.SetEventName(eventRemoved)
		rec.SetSeverityNumber(plog.SeverityNumberInfo)
		rec.Body().SetStr("the cgroup " + cgroup + " is gone")
	})
}

func (r *eventsReceiver) tell(ctx context.Context, cgroup string, id identity, fill func(plog.LogRecord)) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rb := metadata.NewResourceBuilder(r.cfg.ResourceAttributes)
	resource(rb, cgroup, r.h.version, id)
	rb.Emit().MoveTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	rec := sl.LogRecords().AppendEmpty()
	now := pcommon.NewTimestampFromTime(time.Now())
	rec.SetTimestamp(now)
	rec.SetObservedTimestamp(now)
	fill(rec)
	// An event is told once. A consumer that refuses it for now is asked again until it takes it or the receiver stops.
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := r.next.ConsumeLogs(ctx, ld)
		if err == nil || consumererror.IsPermanent(err) || ctx.Err() != nil {
			if err != nil {
				r.set.Logger.Error("an event of a cgroup was lost", zap.String("cgroup", cgroup), zap.Error(err))
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
