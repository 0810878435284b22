//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"go.uber.org/zap"
)

// handler takes events in. Its methods are called by the same goroutine.
type handler interface {
	// take takes one event of the kernel in.
	take(ctx context.Context, raw []byte) error
	// wake does what is due, and returns when to be called again at the latest; never, for the zero time.
	wake(ctx context.Context, now time.Time) time.Time
	// flush tells what it has put off.
	flush(ctx context.Context)
}

// source is where events of the kernel are: a ring buffer.
type source interface {
	SetDeadline(time.Time)
	ReadInto(*ringbuf.Record) error
	// Flush has ReadInto return ErrFlushed when it has returned what is there.
	Flush() error
}

// feed is what the events of a group go through.
type feed struct {
	name    string
	events  source
	handler handler
	// flushed is sent to when all has been told that there was; closed when nothing is read any more.
	flushed chan struct{}
}

// follow begins to hand the events of a group to its handler; p.mu is held.
func (p *probes) follow(ctx context.Context, name string, events source, h handler) {
	f := &feed{name: name, events: events, handler: h, flushed: make(chan struct{}, 1)}
	p.feeds = append(p.feeds, f)
	p.reading.Go(func() { p.read(ctx, f) })
}

// read hands the events of a group to its handler until the ring buffer is closed.
func (p *probes) read(ctx context.Context, f *feed) {
	defer close(f.flushed)
	var rec ringbuf.Record
	for {
		f.events.SetDeadline(f.handler.wake(ctx, time.Now()))
		switch err := f.events.ReadInto(&rec); {
		case errors.Is(err, ringbuf.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, ringbuf.ErrFlushed):
			f.handler.flush(ctx)
			select {
			case f.flushed <- struct{}{}:
			default: // nobody has waited so long
			}
			continue
		case err != nil:
			p.logger.Error("events of the kernel cannot be read any more", zap.String("probes", f.name), zap.Error(err))
			p.mu.Lock()
			_ = p.noted(f.name, "events", fmt.Errorf("its events cannot be read any more, until the collector is started anew: %w", err))
			p.mu.Unlock()
			return
		}
		if err := f.handler.take(ctx, rec.RawSample); err != nil {
			p.telemetry.ReceiverEbpfMalformed.Add(ctx, 1)
			p.logger.Debug("an event of the kernel could not be read", zap.String("probes", f.name), zap.Error(err))
		}
	}
}

// flush has all told that has happened, as far as the context lets it.
func (p *probes) flush(ctx context.Context) {
	p.mu.Lock()
	feeds := p.feeds
	p.mu.Unlock()
	for _, f := range feeds {
		if err := f.events.Flush(); err != nil {
			p.logger.Debug("events of the kernel cannot be flushed", zap.String("probes", f.name), zap.Error(err))
			continue
		}
		select {
		case <-f.flushed:
		case <-ctx.Done():
			return
		}
	}
}
