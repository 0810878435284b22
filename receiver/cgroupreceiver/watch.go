package cgroupreceiver

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/cgroupid"
)

// watched is a cgroup whose kills are followed.
type watched struct {
	identity cgroupid.Identity
	inode    uint64
	// kills are those in the cgroup itself that were told, or that happened before it was followed.
	kills int64
	// below are the same with those in all cgroups below it, gone ones too. It is kept on cgroup v2 only, whose
	// memory.events has that sum; parent says that there were any.
	below    int64
	parent   bool
	notified bool
	mark     int
}

// scan looks at every cgroup: new ones are adopted, vanished ones buried, and kills that no notification told are told.
func (r *eventsReceiver) scan(ctx context.Context) {
	found := !r.complete // what was left out before may be found now; it is not new
	r.complete = true
	r.mark++
	if r.folders != nil && slices.Contains(r.cfg.Roots, "/") {
		if err := r.folders.Add(r.h.memory.folder); err != nil {
			r.unnotified(ctx, err)
		}
	}
	trees := []string{r.h.memory.folder} // the events are those of the memory controller
	var dropped int64
	err := walk(trees, r.cfg.Roots, r.cfg.Exclude, func(cgroup string, inode uint64) bool {
		w := r.watched[cgroup]
		old := found
		if w != nil && w.inode != inode {
			r.bury(ctx, cgroup) // another has taken its place
			w, old = nil, false
		}
		if w != nil {
			r.look(ctx, cgroup)
		} else if len(r.watched) >= r.cfg.MaxCgroups {
			dropped++
		} else if w = r.adopt(ctx, cgroup, inode, old); w == nil && len(r.reader.errs) > 0 {
			r.complete = false
		}
		if w != nil {
			w.mark = r.mark
		}
		return ctx.Err() == nil
	})
	if dropped > 0 {
		r.complete = false
		r.telemetry.ReceiverCgroupDropped.Add(ctx, dropped)
	}
	if err != nil {
		r.complete = false
		if !r.unlisted {
			r.set.Logger.Warn("cannot look through all cgroups", zap.Error(err))
		}
	}
	r.unlisted = err != nil
	var vanished []string
	for cgroup, w := range r.watched {
		if w.mark != r.mark && !r.there(cgroup, w) { // it may only not have been reached
			vanished = append(vanished, cgroup)
		}
	}
	slices.Sort(vanished)
	for _, cgroup := range slices.Backward(vanished) { // the inner before the outer
		r.bury(ctx, cgroup)
	}
	for cgroup, w := range r.watched {
		if w.parent && ctx.Err() == nil {
			r.lost(ctx, cgroup, cgroup, w.identity)
		}
	}
}

// born adopts a cgroup that was just made, and those made in it before it was watched.
func (r *eventsReceiver) born(ctx context.Context, cgroup string) {
	if !r.follows(cgroup) {
		return
	}
	folder := r.h.memory.folder + cgroup
	info, err := os.Lstat(folder)
	if err != nil {
		r.died(ctx, cgroup)
		return
	}
	if !info.IsDir() {
		return
	}
	if w := r.watched[cgroup]; w != nil && w.inode != inode(info) {
		r.bury(ctx, cgroup)
	}
	if r.watched[cgroup] == nil && r.adopt(ctx, cgroup, inode(info), false) == nil {
		return // the next scan tries again
	}
	// Its children are listed after it is watched, so that none is born unseen in between.
	if info, err = os.Lstat(folder); err != nil || leaf(info) {
		return
	}
	children, err := os.ReadDir(folder)
	if err != nil {
		return // gone; its own end is told in its turn
	}
	for _, child := range children {
		if name := path.Join(cgroup, child.Name()); child.IsDir() && r.watched[name] == nil {
			r.born(ctx, name)
		}
	}
}

// died buries a cgroup that was removed, unless another has taken its place already and was adopted.
func (r *eventsReceiver) died(ctx context.Context, cgroup string) {
	w := r.watched[cgroup]
	if w == nil {
		if r.follows(cgroup) {
			r.lost(ctx, parent(cgroup), cgroup, cgroupid.Of(cgroup)) // it was gone before it could be adopted
		}
		return
	}
	if !r.there(cgroup, w) {
		r.bury(ctx, cgroup)
	}
}

// there says whether a cgroup is still there, as far as can be known.
func (r *eventsReceiver) there(cgroup string, w *watched) bool {
	info, err := os.Lstat(r.h.memory.folder + cgroup)
	return err != nil && !gone(err) || err == nil && inode(info) == w.inode
}

// follows says whether a cgroup is below a root and not excluded.
func (r *eventsReceiver) follows(cgroup string) bool {
	if cgroup == "/" || !slices.ContainsFunc(r.cfg.Roots, func(root string) bool {
		return root == "/" || cgroup == root || strings.HasPrefix(cgroup, root+"/")
	}) {
		return false
	}
	for c := cgroup; c != "/"; c = parent(c) {
		if excluded(r.cfg.Exclude, c) {
			return false
		}
	}
	return true
}

// adopt begins to follow a cgroup; what an old one counted before is no news. It returns nil when there are too many, or when it is
// gone or has no memory controller.
func (r *eventsReceiver) adopt(ctx context.Context, cgroup string, inode uint64, old bool) *watched {
	if len(r.watched) >= r.cfg.MaxCgroups {
		return nil
	}
	kills, ok := r.kills(ctx, cgroup, false)
	if !ok {
		return nil
	}
	w := &watched{identity: cgroupid.Of(cgroup), inode: inode, mark: r.mark}
	if old {
		w.kills = kills
		w.below, _ = r.kills(ctx, cgroup, true)
	}
	r.watched[cgroup] = w
	if p := r.watched[parent(cgroup)]; p != nil {
		p.parent = true
	}
	if r.notified < r.cfg.MaxWatches && (r.folders != nil || r.ooms != nil) {
		if err := r.notify(cgroup); err == nil {
			r.notified++
			w.notified = true
		} else if !gone(err) {
			r.unnotified(ctx, err)
		}
	} else {
		r.telemetry.ReceiverCgroupUnwatched.Add(ctx, 1)
	}
	r.look(ctx, cgroup) // what happened between its birth and the watch
	return w
}

// notify asks the kernel to tell of new cgroups in a cgroup, and of its memory events.
func (r *eventsReceiver) notify(cgroup string) error {
	folder := r.h.memory.folder + cgroup
	var errs []error
	if r.folders != nil {
		errs = append(errs, r.folders.Add(folder))
	}
	switch {
	case r.ooms != nil:
		errs = append(errs, r.ooms.add(cgroup, folder))
	case r.folders != nil:
		errs = append(errs, r.folders.Add(folder+"/memory.events"))
	}
	return errors.Join(errs...)
}

// unnotify gives back what notify took, also where it had only a part of it. The kernel does not do so by itself: to inotify, what
// is removed from a cgroup file system was not deleted.
func (r *eventsReceiver) unnotify(cgroup string) {
	folder := r.h.memory.folder + cgroup
	if r.folders != nil {
		_ = r.folders.Remove(folder) // or it was not watched
	}
	switch {
	case r.ooms != nil:
		r.ooms.remove(cgroup)
	case r.folders != nil:
		_ = r.folders.Remove(folder + "/memory.events")
	}
}

func (r *eventsReceiver) unnotified(ctx context.Context, err error) {
	r.telemetry.ReceiverCgroupUnwatched.Add(ctx, 1)
	if !r.refused {
		r.refused = true
		r.set.Logger.Warn("the kernel refuses to notify of some cgroups; they are looked at every second instead", zap.Error(err))
	}
}

// kills reads how many processes the kernel killed in a cgroup so far, or in those below it as well.
func (r *eventsReceiver) kills(ctx context.Context, cgroup string, below bool) (int64, bool) {
	n, ok := r.reader.kills(cgroup, below)
	if failed := len(r.reader.errs); failed > 0 {
		r.telemetry.ReceiverCgroupReadErrors.Add(ctx, int64(failed))
	}
	return n, ok
}

// look tells what was killed since the last look.
func (r *eventsReceiver) look(ctx context.Context, cgroup string) {
	w := r.watched[cgroup]
	if w == nil {
		return
	}
	kills, ok := r.kills(ctx, cgroup, false)
	if !ok || kills <= w.kills {
		return
	}
	count := kills - w.kills
	w.kills = kills
	r.killed(ctx, cgroup, w.identity, count)
}

// lost tells of kills that no living cgroup tells of: the one they happened in was removed before it could be read. Their
// count remains in the cgroups above it. Where cgroups are excluded nobody knows whether it was in one of them.
func (r *eventsReceiver) lost(ctx context.Context, above, cgroup string, id cgroupid.Identity) {
	if len(r.cfg.Exclude) > 0 {
		return
	}
	total, ok := r.kills(ctx, above, true)
	for !ok && above != "/" { // that is gone as well
		above = parent(above)
		total, ok = r.kills(ctx, above, true)
	}
	w := r.watched[above]
	if w == nil || total <= w.below {
		return
	}
	for other := range r.watched { // first, what the living have not told yet
		if other == above || strings.HasPrefix(other, above+"/") {
			r.look(ctx, other)
		}
	}
	if total, ok := r.kills(ctx, above, true); ok && total > w.below {
		r.killed(ctx, cgroup, id, total-w.below)
	}
}

// killed tells of kills and notes that they were told.
func (r *eventsReceiver) killed(ctx context.Context, cgroup string, id cgroupid.Identity, count int64) {
	for c := cgroup; c != "/"; c = parent(c) {
		if w := r.watched[c]; w != nil {
			w.below += count
		}
	}
	r.tellKilled(ctx, cgroup, id, count)
}

// bury tells that a cgroup is gone.
func (r *eventsReceiver) bury(ctx context.Context, cgroup string) {
	w := r.watched[cgroup]
	delete(r.watched, cgroup)
	if w.notified {
		r.notified--
	}
	r.unnotify(cgroup)
	r.lost(ctx, parent(cgroup), cgroup, w.identity)
	if !w.identity.Inside(cgroup) {
		r.tellRemoved(ctx, cgroup, w.identity)
	}
}
