//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
)

// The maps that every object may have, by name.
const (
	mapEvents = "events" // a ring buffer
	mapLost   = "lost"   // how many events it had no room for
	mapCounts = "counts" // what was counted, by cgroup
)

// ofMemoryController is how the tracepoints of the memory controller begin.
const ofMemoryController = "raw_tp/mm_vmscan_memcg_"

// batch is how many entries of a map are read at once.
const batch = 512

// attached is an object in the kernel, each of its programs at its hook.
type attached struct {
	*ebpf.Collection
	links []io.Closer
	// events is nil where the object has none.
	events *ringbuf.Reader
	// iter is what looks at all tasks when it is read; nil where the object has none.
	iter *link.Iter
}

// attach loads an object and hooks its programs up, or does nothing at all.
func attach(spec *ebpf.CollectionSpec) (*attached, error) {
	raiseMemlock()
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	a := &attached{Collection: coll}
	for name, program := range coll.Programs {
		section := spec.Programs[name].SectionName
		if strings.HasSuffix(section, "/"+name) {
			continue // at no hook: for us to run
		}
		if strings.HasPrefix(section, "iter/") {
			if a.iter, err = link.AttachIter(link.IterOptions{Program: program}); err != nil {
				return nil, errors.Join(fmt.Errorf("attach %s: %w", name, err), a.close())
			}
			a.links = append(a.links, a.iter)
			continue
		}
		l, err := hook(section, program)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(section, ofMemoryController) {
			continue // the kernel has none (CONFIG_MEMCG)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s: %w", name, err), a.close())
		}
		a.links = append(a.links, l)
	}
	if m := coll.Maps[mapEvents]; m != nil {
		if a.events, err = ringbuf.NewReader(m); err != nil {
			return nil, errors.Join(fmt.Errorf("read events: %w", err), a.close())
		}
	}
	return a, nil
}

// hook attaches a program where its section says.
func hook(section string, program *ebpf.Program) (io.Closer, error) {
	kind, name, _ := strings.Cut(section, "/")
	switch kind {
	case "raw_tp":
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: program})
	case "tp_btf":
		return link.AttachTracing(link.TracingOptions{Program: program})
	}
	return nil, fmt.Errorf("no way to attach section %q", section)
}

// lost is how many events the kernel could not hand over, and how often it passed over a program: where what interrupts one would have
// it run again (known since 5.12).
func (a *attached) lost() (n int64, err error) {
	if m := a.Maps[mapLost]; m != nil {
		events, err := bpf.Lost(m)
		if err != nil {
			return 0, err
		}
		n = int64(events)
	}
	for name, program := range a.Programs {
		stats, err := program.Stats()
		if err != nil {
			return 0, fmt.Errorf("read how often %s was passed over: %w", name, err)
		}
		n += int64(stats.RecursionMisses)
	}
	return n, nil
}

func (a *attached) close() error {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	if a.events != nil {
		errs = append(errs, a.events.Close())
	}
	a.Collection.Close()
	return errors.Join(errs...)
}

// entries visits the entries of a map, each once: key by key it would begin anew when one is gone meanwhile.
func entries[K, V any](m *ebpf.Map, visit func(K, V)) error {
	keys, values := make([]K, batch), make([]V, batch)
	var at ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&at, keys, values, nil)
		for i := range n {
			visit(keys[i], values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// raiseMemlock lifts the limit that old kernels account the memory of programs and maps against. Where it is not allowed,
// loading fails, and says so.
func raiseMemlock() {
	if countsMemlock() {
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
}

// countsMemlock says whether the kernel is older than 5.11, which accounts to the cgroup instead.
func countsMemlock() bool {
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major < 5 || major == 5 && minor < 11)
}
