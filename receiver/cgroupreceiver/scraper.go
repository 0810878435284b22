package cgroupreceiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/cgroupid"
	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// metricsScraper reads every cgroup at each scrape.
type metricsScraper struct {
	cfg       *Config
	set       receiver.Settings
	telemetry *metadata.TelemetryBuilder

	reader *reader
	mb     *metadata.MetricsBuilder
	rb     *metadata.ResourceBuilder
	known  map[string]*known
	scan   int
	// first is when the first scrape began, and before when the one before this did; zero before the first.
	first, before pcommon.Timestamp
	// complete says that the scrape before left no cgroup out: one that is new now was made since.
	complete bool
	// unlisted says that the log has it that some cgroups may not be listed.
	unlisted bool
}

// known is a cgroup that was there at the last scrape.
type known struct {
	identity cgroupid.Identity
	inode    uint64
	// since is from when its counters count: the scrape before the first that saw it, when it did not exist. For those that
	// were there at the first scrape, or may have been left out since, nobody knows, and it is that scrape.
	since pcommon.Timestamp
	scan  int
}

func (s *metricsScraper) start(context.Context, component.Host) error {
	h, err := open(s.cfg)
	if err != nil {
		return err
	}
	if h.memory.folder == "" {
		s.set.Logger.Warn("this host has no memory controller (it may be switched off by cgroup_disable=memory)", zap.String("mount", s.cfg.Mount))
	}
	if s.reader, err = newReader(h, s.cfg.MaxOpenFiles); err != nil {
		return err
	}
	s.known = map[string]*known{}
	s.mb = metadata.NewMetricsBuilder(s.cfg.MetricsBuilderConfig, s.set)
	s.rb = s.mb.NewResourceBuilder()
	return nil
}

func (s *metricsScraper) shutdown(context.Context) error {
	s.telemetry.Shutdown()
	if s.reader == nil {
		return nil
	}
	return s.reader.close()
}

// open finds the hierarchy, and every root in it.
func open(cfg *Config) (hierarchy, error) {
	h, err := openHierarchy(cfg.Mount)
	if err != nil {
		return h, err
	}
	for i, root := range cfg.Roots {
		found := false
		for _, tree := range h.trees() {
			if info, err := os.Stat(filepath.Join(tree, root)); err == nil && info.IsDir() {
				found = true
			}
		}
		if !found {
			return h, fmt.Errorf("roots[%d]: there is no cgroup %s in %s (want paths below the mount point, such as / or /kubepods.slice)",
				i, root, strings.Join(h.trees(), " or "))
		}
	}
	return h, nil
}

func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	s.scan++
	count := 0
	var dropped, failed int64
	var failure error
	begin := pcommon.NewTimestampFromTime(time.Now())
	if s.before == 0 {
		s.first, s.before = begin, begin
	}
	complete := true
	version := s.reader.h.version()
	err := walk(s.reader.h.trees(), s.cfg.Roots, s.cfg.Exclude, func(cgroup string, inode uint64) bool {
		k := s.known[cgroup]
		if k == nil || k.inode != inode {
			id := cgroupid.Of(cgroup)
			if id.Inside(cgroup) {
				return true // the container's own cgroup tells of it
			}
			s.reader.forget(cgroup) // the one that had its name before
			since := s.before
			if k == nil && !s.complete {
				since = s.first
			}
			k = &known{identity: id, inode: inode, since: since}
		}
		if count >= s.cfg.MaxCgroups {
			dropped++
			return true
		}
		count++
		x, ok := s.reader.read(cgroup, k.identity.ContainerID != "")
		if n := len(s.reader.errs); n > 0 {
			failed += int64(n)
			failure = s.reader.errs[0]
		}
		if !ok && len(s.reader.errs) == 0 {
			return true // it is gone
		}
		k.scan = s.scan
		if !ok {
			complete = false
			return true
		}
		s.known[cgroup] = k
		record(s.mb, pcommon.NewTimestampFromTime(time.Now()), &x)
		resource(s.rb, cgroup, version, k.identity)
		s.mb.EmitForResource(metadata.WithResource(s.rb.Emit()), metadata.WithStartTimeOverride(k.since))
		return ctx.Err() == nil
	})
	reached := err == nil && ctx.Err() == nil
	s.before, s.complete = begin, complete && reached && dropped == 0
	for cgroup, k := range s.known {
		if k.scan != s.scan && (reached || !s.there(cgroup)) {
			delete(s.known, cgroup)
			s.reader.forget(cgroup)
		}
	}
	closed := errors.Is(err, fs.ErrPermission)
	if closed { // it stays so: said once, and counted
		if !s.unlisted {
			s.set.Logger.Warn("cannot look through all cgroups", zap.Error(err))
		}
		failed, failure, err = failed+1, err, nil
	}
	s.unlisted = closed
	if dropped > 0 {
		s.telemetry.ReceiverCgroupDropped.Add(ctx, dropped)
	}
	if failed > 0 {
		s.telemetry.ReceiverCgroupReadErrors.Add(ctx, failed)
		s.set.Logger.Debug("some files of cgroups could not be read", zap.Int64("files", failed), zap.Error(failure))
	}
	if err != nil { // of any other kind, it would have the collector drop all that was read
		err = scrapererror.NewPartialScrapeError(err, 1)
	}
	return s.mb.Emit(), err
}

// there says whether a cgroup is still there, as far as can be known.
func (s *metricsScraper) there(cgroup string) bool {
	for _, tree := range s.reader.h.trees() {
		if _, err := os.Lstat(tree + cgroup); err == nil || !gone(err) {
			return true
		}
	}
	return false
}

// resource describes who lives in a cgroup.
func resource(rb *metadata.ResourceBuilder, cgroup, version string, id cgroupid.Identity) {
	rb.SetCgroupPath(cgroup)
	rb.SetCgroupVersion(version)
	if id.ContainerID != "" {
		rb.SetContainerID(id.ContainerID)
	}
	if id.Runtime != "" {
		rb.SetContainerRuntimeName(id.Runtime)
	}
	if id.PodUID != "" {
		rb.SetK8sPodUID(id.PodUID)
	}
	if id.Unit != "" {
		rb.SetSystemdUnit(id.Unit)
	}
}
