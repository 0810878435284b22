//go:build linux

package malloc

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/uprobe"
)

// multiSince is the first kernel whose probes of several functions at once see all threads of the process they are for.
const multiSince = 6<<16 | 10<<8

// survives returns ErrFiltered where probes at returns may kill a process: where it has a filter for system calls, and returns do not pass it.
func survives(p *process.Process, returnsPass func() (bool, error)) error {
	filtered, err := p.Filtered()
	if err != nil || !filtered {
		return err
	}
	pass, err := returnsPass()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFiltered, err)
	case !pass:
		return fmt.Errorf("%w: on x86-64, filters decide about them since Linux 6.11, and do not any more since 6.12.14, 6.13.3 and 6.14", ErrFiltered)
	}
	return nil
}

// load loads the programs: those that are attached all at once, or those that are attached one by one.
func (w *watch) load() error {
	spec, err := bpf.LoadMalloc()
	if err != nil {
		return err
	}
	version, err := features.LinuxVersionCode()
	if err != nil {
		return fmt.Errorf("find the kernel's version: %w", err)
	}
	w.multi = version >= multiSince
	for name := range spec.Programs {
		if w.multi != (name == bpf.MallocProgTapioMallocEach || name == bpf.MallocProgTapioMallocEachReturn) {
			delete(spec.Programs, name)
		}
	}
	if w.coll, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load the programs that watch malloc: %w", err)
	}
	if w.events, err = ringbuf.NewReader(w.coll.Maps[bpf.MallocMapEvents]); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

// attachAll attaches the probes of a set of functions; what was attached before an error is returned with it.
func (w *watch) attachAll(set int) (links []io.Closer, err error) {
	for _, a := range w.allocs {
		f, err := uprobe.Open(a.module.File, a.module.Object.Machine)
		if err != nil {
			return links, err
		}
		var at, which, returns []uint64
		hooked := map[uint64]bool{}
		for _, fn := range functions {
			off, ok := a.at[fn.name]
			if !ok || fn.set != set || hooked[off] || !w.multi && w.quiet[fn.call] {
				continue
			}
			hooked[off] = true
			at, which = append(at, off), append(which, uint64(fn.call))
			if fn.call != bpf.MallocCallFREE {
				returns = append(returns, off)
			}
			if f.Stepped(off, uprobe.C) {
				w.stepped[fn.call] = true
			}
			if w.multi {
				continue
			}
			l, err := f.Enter(off, uprobe.C, w.coll.Programs[entries[fn.call]], w.p.PID)
			if err != nil {
				return links, fmt.Errorf("attach to %s: %w", fn.name, err)
			}
			links = append(links, l)
			if fn.call == bpf.MallocCallFREE {
				continue
			}
			if l, err = f.Return(off, uprobe.C, w.coll.Programs[bpf.MallocProgTapioMallocReturn], w.p.PID); err != nil {
				return links, fmt.Errorf("attach to the return of %s: %w", fn.name, err)
			}
			links = append(links, l)
		}
		if w.multi && len(at) > 0 {
			l, err := f.EnterEach(at, which, uprobe.C, w.coll.Programs[bpf.MallocProgTapioMallocEach], w.p.PID)
			if err != nil {
				return links, fmt.Errorf("attach to malloc: %w", err)
			}
			links = append(links, l)
		}
		if w.multi && len(returns) > 0 {
			l, err := f.ReturnEach(returns, uprobe.C, w.coll.Programs[bpf.MallocProgTapioMallocEachReturn], w.p.PID)
			if err != nil {
				return links, fmt.Errorf("attach to the return of malloc: %w", err)
			}
			links = append(links, l)
		}
	}
	return links, nil
}

// detach takes probes away, all at once: the kernel waits for a grace period with each.
func detach(links []io.Closer) error {
	errs := make([]error, len(links))
	var wg sync.WaitGroup
	for i, l := range links {
		wg.Go(func() { errs[i] = l.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
