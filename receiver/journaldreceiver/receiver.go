package journaldreceiver

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/spare"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

const (
	// turn is how many batches of a stream are read before the others have theirs.
	turn = 8
	// patience is how long an entry that the header counts may take to appear.
	patience = 2 * time.Second
)

// journalReceiver reads the files of the journal, each from its own position.
type journalReceiver struct {
	cfg         *Config
	set         receiver.Settings
	telemetry   *metadata.TelemetryBuilder
	obs         *receiverhelper.ObsReport
	next        consumer.Logs
	folders     *folders
	checkpoints *checkpoints
	wake        chan struct{}
	cancel      context.CancelFunc
	running     sync.WaitGroup

	// The reading loop's own.
	filter  *filter
	builder *builder
	chosen  []sdjournal.Entry
}

func newReceiver(cfg *Config, set receiver.Settings, next consumer.Logs) (*journalReceiver, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "journal", LongLivedCtx: true,
		ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	f, err := newFilter(cfg)
	if err != nil {
		return nil, err
	}
	return &journalReceiver{cfg: cfg, set: set, telemetry: telemetry, obs: obs, next: next, filter: f,
		builder: newBuilder(cfg, set.BuildInfo.Version), wake: make(chan struct{}, 1)}, nil
}

// Start finds the files and the positions in them, and begins to read.
func (r *journalReceiver) Start(ctx context.Context, host component.Host) error {
	checkpoints, positions, err := openCheckpoints(ctx, host, r.cfg.StorageID, spare.Owner{Kind: component.KindReceiver, ID: r.set.ID, Log: r.set.Logger})
	if err != nil {
		return err
	}
	r.checkpoints = checkpoints
	first := positions == nil
	if first {
		positions = map[sdjournal.ID]*position{}
	}
	r.folders = &folders{cfg: r.cfg, log: r.set.Logger, telemetry: r.telemetry,
		files: map[sdjournal.ID]*file{}, positions: positions, passed: map[string]passed{}}
	r.folders.scan()
	if first {
		if err := r.begin(time.Now()); err != nil {
			return errors.Join(err, r.stop(ctx))
		}
		r.checkpoint(ctx, nil)
	}
	loop, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.running.Go(func() { r.watch(loop) })
	r.running.Go(func() { r.run(loop) })
	return nil
}

// Shutdown stops reading. What the next component has not taken by then is read again at the next start.
func (r *journalReceiver) Shutdown(ctx context.Context) error {
	defer r.telemetry.Shutdown()
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.running.Wait()
	return r.stop(ctx)
}

func (r *journalReceiver) stop(ctx context.Context) error {
	for _, f := range r.folders.files {
		f.release()
	}
	return r.checkpoints.close(ctx)
}

// run reads whatever there is, then waits for more.
func (r *journalReceiver) run(ctx context.Context) {
	for ctx.Err() == nil {
		more := false
		for _, stream := range r.folders.streams() {
			more = r.readStream(ctx, stream) || more
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
	}
}

// readStream reads from the files of a stream, the oldest first, for a turn. It says whether there is more.
func (r *journalReceiver) readStream(ctx context.Context, stream []*file) bool {
	left := turn
	for _, f := range stream {
		for ; left > 0; left-- {
			if ctx.Err() != nil {
				return false
			}
			b, err := f.read(r.cfg.MaxBatchSize)
			switch {
			case err != nil:
				r.failed(ctx, f, err)
			case b.Count > 0:
				r.tell(ctx, f, b)
				continue
			default:
				r.ended(ctx, f)
			}
			break
		}
		if left == 0 {
			return true
		}
	}
	return false
}

// tell hands on what is wanted of a batch, and moves the position behind it once it was taken.
func (r *journalReceiver) tell(ctx context.Context, f *file, b sdjournal.Batch) {
	others := r.folders.others(f)
	r.chosen = r.chosen[:0]
	var first, last sdjournal.Entry
	var copies, unwanted, cut int64
	for e := range b.Entries() {
		if last = e; first.Realtime == 0 {
			first = e
		}
		switch {
		case isCopy(e, others):
			copies++
		case !r.filter.wants(e):
			unwanted++
		default:
			if e.Truncated {
				cut++
			}
			r.chosen = append(r.chosen, e)
		}
	}
	if !r.deliver(ctx, r.chosen) {
		f.close() // and read again from the position
		return
	}
	r.telemetry.ReceiverJournaldDuplicates.Add(ctx, copies)
	r.telemetry.ReceiverJournaldFiltered.Add(ctx, unwanted)
	r.telemetry.ReceiverJournaldTruncated.Add(ctx, cut)
	f.stuck = time.Time{}
	r.folders.move(f, func(p *position) { p.extend(b.Last, first, last) })
	r.checkpoint(ctx, f)
}

func isCopy(e sdjournal.Entry, others []*position) bool {
	for _, o := range others {
		if o.covers(e.Boot.String(), e.Monotonic) {
			return true
		}
	}
	return false
}

// ended is for a file of which everything was read that can be.
func (r *journalReceiver) ended(ctx context.Context, f *file) {
	h, err := sdjournal.ReadHeader(f.file)
	if err != nil {
		r.folders.close(f, err)
		return
	}
	done := r.folders.done(f, h)
	if h.Tail > f.Seqnum && h.Entries > 0 {
		// There should be more. Its writer counts an entry a moment before it can be read.
		if !done && (f.stuck.IsZero() || f.stuckAt != h.Tail) {
			f.stuck, f.stuckAt = time.Now(), h.Tail
			return
		}
		if !done && time.Since(f.stuck) < patience {
			return
		}
		r.skip(ctx, f, h.Tail)
		return
	}
	f.stuck = time.Time{}
	if done {
		r.folders.move(f, func(p *position) { p.Done = true })
		r.checkpoint(ctx, f)
		r.folders.close(f, nil)
	}
}

// failed is for a file that could not be opened or read.
func (r *journalReceiver) failed(ctx context.Context, f *file, err error) {
	h, unreadable := sdjournal.ReadHeader(f.file)
	if f.journal == nil || unreadable != nil {
		r.folders.close(f, err)
		return
	}
	f.close() // libsystemd gives up on a file after an error
	if f.singly == 0 && f.stuck.IsZero() {
		// What comes before the damage is told first.
		r.set.Logger.Warn("a journal file is damaged", zap.String("path", f.file.Name()), zap.Uint64("after", f.Seqnum), zap.Error(err))
		f.singly, f.stuck = r.cfg.MaxBatchSize, time.Now()
		r.again()
		return
	}
	if h.Tail <= f.Seqnum {
		r.folders.close(f, err) // there is nothing behind it to go on at, until the file changes
		return
	}
	r.skip(ctx, f, h.Tail)
}

// skip goes on behind damage.
func (r *journalReceiver) skip(ctx context.Context, f *file, tail uint64) {
	next, found := f.skip(tail)
	behind := tail
	if found {
		behind = next - 1
	}
	f.close()
	f.stuck, f.singly = time.Time{}, 0
	if behind > f.Seqnum {
		lost := behind - f.Seqnum
		r.set.Logger.Warn("entries of a damaged journal file cannot be read",
			zap.String("path", f.file.Name()), zap.Uint64("from", f.Seqnum+1), zap.Uint64("to", behind))
		r.telemetry.ReceiverJournaldLost.Add(ctx, int64(min(lost, 1<<32)), because(damaged))
		r.folders.move(f, func(p *position) { p.Seqnum = behind })
		r.checkpoint(ctx, f)
	}
	r.again()
}

// checkpoint stores the position in a file, or in all. Where that fails, entries are told again after a restart, none is lost.
func (r *journalReceiver) checkpoint(ctx context.Context, f *file) {
	id := sdjournal.ID{}
	if f != nil {
		id = f.header.FileID
	}
	if err := r.folders.store(ctx, r.checkpoints, id); err != nil && ctx.Err() == nil {
		r.set.Logger.Error("cannot store how far the journal was read", zap.Error(err))
	}
}

// again has the loop go round once more.
func (r *journalReceiver) again() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pause waits, unless it is over.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
