package journaldreceiver

import (
	"context"
	"os"
	"time"
)

// scanAnyway is after how long the folders are listed although they look the same: their times are coarse.
const scanAnyway = 10 * time.Second

// watch wakes the reading loop at every poll, and lists the folders when something came or went in them. It does not wait for
// the kernel to notify of changes: systemd-journal-remote makes one for each entry, and each would cost more than a poll.
func (r *journalReceiver) watch(ctx context.Context) {
	poll := time.NewTicker(r.cfg.PollInterval)
	defer poll.Stop()
	var seen map[string]time.Time
	var scanned time.Time
	for {
		if now := time.Now(); changed(seen, r.cfg.Directories) || r.folders.room() || now.Sub(scanned) >= scanAnyway {
			// Their times come first: what changes during the scan is a change.
			seen, scanned = times(seen, r.cfg.Directories), now
			for _, dir := range r.folders.scan() {
				if _, known := seen[dir]; !known {
					seen[dir] = time.Time{} // looked at once more
				}
			}
		}
		r.again()
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// times are when something came or went in folders: those seen before that are still there, and the roots.
func times(seen map[string]time.Time, roots []string) map[string]time.Time {
	at := make(map[string]time.Time, len(seen))
	look := func(dir string) {
		if info, err := os.Stat(dir); err == nil {
			at[dir] = info.ModTime()
		}
	}
	for dir := range seen {
		look(dir)
	}
	for _, dir := range roots {
		look(dir)
	}
	return at
}

// changed says whether something came or went since then.
func changed(seen map[string]time.Time, roots []string) bool {
	now := times(seen, roots)
	if len(now) != len(seen) {
		return true
	}
	for dir, at := range now {
		if before, known := seen[dir]; !known || !before.Equal(at) {
			return true
		}
	}
	return false
}
