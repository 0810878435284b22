//go:build linux

package ebpfreceiver

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadatatest"
)

// ring is a ring buffer with one record, which is closed when it has been flushed.
type ring struct {
	record chan []byte
	ends   chan error
}

func (ring) SetDeadline(time.Time) {}

func (r ring) Flush() error {
	r.ends <- ringbuf.ErrFlushed
	r.ends <- ringbuf.ErrClosed
	return nil
}

func (r ring) ReadInto(rec *ringbuf.Record) error {
	select { // as the real one: what is there comes first
	case rec.RawSample = <-r.record:
		return nil
	default:
	}
	select {
	case rec.RawSample = <-r.record:
		return nil
	case err := <-r.ends:
		return err
	case <-time.After(patience):
		return ringbuf.ErrClosed
	}
}

// A kill whose victim has not ended yet is told before the receiver stops, and what is in the ring buffer as well.
func TestKillBeforeShutdown(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken bool // before the receiver is told to stop
	}{{"taken in", true}, {"in the ring buffer", false}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			cfg.Probes = Probes{} // no programs of its own
			p, err := newProbes(metadatatest.NewSettings(componenttest.NewTelemetry()), cfg)
			require.NoError(t, err)
			p.ended = func() {}
			sink := new(events)
			r := &logsReceiver{probes: p, next: sink}
			require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
			kill := bpf.OOMKill{Kind: bpf.OOMEventKILLED, Pid: 42}
			raw := bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&kill)), unsafe.Sizeof(kill)))
			from := ring{record: make(chan []byte, 1), ends: make(chan error, 2)}
			h := &oomHandler{probes: p}
			if c.taken {
				require.NoError(t, h.take(t.Context(), raw))
			} else {
				from.record <- raw
			}
			p.mu.Lock()
			p.follow(t.Context(), "oom", from, h)
			p.mu.Unlock()
			require.NoError(t, r.Shutdown(context.Background()))
			kills := sink.named(eventOOMKill)
			require.Len(t, kills, 1)
			require.Contains(t, kills[0].record.Body().Str(), "has not ended yet")
		})
	}
}

// What cannot be read any more shows in coverage, with the reason.
func TestUnreadInCoverage(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Probes = Probes{}
	p, err := newProbes(metadatatest.NewSettings(componenttest.NewTelemetry()), cfg)
	require.NoError(t, err)
	p.ended = func() {}
	r := &logsReceiver{probes: p, next: new(events)}
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	ok := finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}
	from := ring{record: make(chan []byte), ends: make(chan error, 2)}
	p.mu.Lock()
	p.coverage = []coveragelog.Part{{Name: "oom", Coverage: ok}, {Name: "dns", Coverage: ok}, {Name: "network", Coverage: ok}}
	p.follow(t.Context(), "oom", from, &oomHandler{probes: p})
	_, _ = p.noted("dns", "counts", errors.New("too many open files")), p.noted("network", "counts", errors.New("too many open files"))
	_ = p.noted("network", "counts", nil)
	p.mu.Unlock()
	from.ends <- errors.New("bad address")
	p.reading.Wait()
	why := map[string]string{}
	for _, part := range p.sees() {
		why[part.Name] = string(part.State) + " " + part.Reason
	}
	require.Equal(t, map[string]string{
		"oom":     "degraded its events cannot be read any more, until the collector is started anew: bad address",
		"dns":     "degraded too many open files",
		"network": "ok ",
	}, why)
	require.NoError(t, r.Shutdown(context.Background()))
}

// Groups that are at work can be read, until they cannot.
func TestRealUnreadInCoverage(t *testing.T) {
	realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	p := m.scraper.probes
	_, err := m.scraper.scrape(t.Context())
	require.NoError(t, err)
	for _, part := range p.sees() {
		require.Equal(t, finding.CoverageOK, part.State, part.Reason)
	}
	for _, of := range []struct{ group, in string }{
		{"process", mapCounts}, {"network", bpf.NetworkMapPeers}, {"dns", bpf.DNSMapQuestions}, {"performance", bpf.PerformanceMapDisks},
	} {
		require.NoError(t, p.attached[of.group].Maps[of.in].Close())
	}
	_, err = m.scraper.scrape(t.Context())
	require.Error(t, err)
	for _, part := range p.sees() {
		if part.Name == "oom" {
			require.Equal(t, finding.CoverageOK, part.State, part.Reason)
			continue
		}
		require.Equal(t, finding.CoverageDegraded, part.State, part.Name)
		require.Contains(t, part.Reason, "read ")
	}
}

// Who leaves without having joined takes the telemetry away, also while somebody reads it.
func TestLeaveWhileTelemetryIsRead(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	set := metadatatest.NewSettings(telemetry)
	var p *probes
	var leaving sync.WaitGroup
	meter := set.MeterProvider.Meter("test")
	first, err := meter.Int64ObservableCounter("first")
	require.NoError(t, err)
	// Read before the receiver's own.
	_, err = meter.RegisterCallback(func(context.Context, metric.Observer) error {
		leaving.Go(func() { _ = p.leave(false, func() {}) })
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if !p.mu.TryLock() {
				break // it has come as far as it can, and must not keep this
			}
			p.mu.Unlock()
		}
		return nil
	}, first)
	require.NoError(t, err)
	p, err = newProbes(set, createDefaultConfig().(*Config))
	require.NoError(t, err)
	p.ended = func() {}
	read := make(chan error, 1)
	go func() { read <- telemetry.Reader.Collect(context.Background(), new(metricdata.ResourceMetrics)) }()
	select {
	case err := <-read:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("the reader and who leaves wait for each other")
	}
	leaving.Wait()
}
