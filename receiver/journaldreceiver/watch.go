package journaldreceiver

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// scanEvery is after how many polls the folders are looked through without news of them.
const scanEvery = 5

// watch scans the folders when files come and go, and wakes the reading loop when they change: at once where the kernel
// notifies of it, else at the next poll.
func (r *journalReceiver) watch(ctx context.Context) {
	poll := time.NewTicker(r.cfg.PollInterval)
	defer poll.Stop()
	var events <-chan fsnotify.Event
	var errs <-chan error
	w, err := fsnotify.NewBufferedWatcher(256)
	if err != nil {
		r.set.Logger.Warn("cannot watch the journal's folders, and poll them (fs.inotify.max_user_instances may be too low)", zap.Error(err))
	} else {
		defer func() { _ = w.Close() }()
		events, errs = w.Events, w.Errors
	}
	scan := func() {
		for _, dir := range r.folders.scan() {
			if w != nil {
				_ = w.Add(dir) // again has no effect; where it fails there is the poll
			}
		}
	}
	scan()
	r.again()
	for polls := 1; ; {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
				scan()
			}
		case <-errs:
			scan() // the queue overflowed
		case <-poll.C:
			if polls++; polls%scanEvery == 0 {
				scan()
			}
		}
		r.again()
	}
}
