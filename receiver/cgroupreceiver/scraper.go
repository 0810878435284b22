package cgroupreceiver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

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
}

// known is a cgroup that was there at the last scrape.
type known struct {
	identity identity
	// since is when the receiver first saw it: its counters began at zero then, or, for those that were there at the
	// first scrape, count from before.
	since pcommon.Timestamp
	scan  int
}

func (s *metricsScraper) start(context.Context, component.Host) error {
	h, err := open(s.cfg)
	if err != nil {
		return err
	}
	s.reader, s.known = newReader(h), map[string]*known{}
	s.mb = metadata.NewMetricsBuilder(s.cfg.MetricsBuilderConfig, s.set)
	s.rb = s.mb.NewResourceBuilder()
	return nil
}

func (s *metricsScraper) shutdown(context.Context) error {
	s.telemetry.Shutdown()
	return nil
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
			return h, fmt.Errorf("roots[%d]: there is no cgroup %s below %s", i, root, cfg.Mount)
		}
	}
	return h, nil
}

func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	s.scan++
	count := 0
	var dropped, failed int64
	var failure error
	scrapeStart := pcommon.NewTimestampFromTime(time.Now())
	err := s.reader.h.walk(s.cfg.Roots, s.cfg.Exclude, func(cgroup string) bool {
		if count >= s.cfg.MaxCgroups {
			dropped++
			return true
		}
		count++
		x, ok := s.reader.read(cgroup)
		if n := len(s.reader.errs); n > 0 {
			failed += int64(n)
			failure = s.reader.errs[0]
		}
		if !ok {
			return true
		}
		k := s.known[cgroup]
		if k == nil {
			k = &known{identity: identify(cgroup), since: scrapeStart}
			s.known[cgroup] = k
		}
		k.scan = s.scan
		s.record(pcommon.NewTimestampFromTime(time.Now()), x)
		resource(s.rb, cgroup, s.reader.h.version, k.identity)
		s.mb.EmitForResource(metadata.WithResource(s.rb.Emit()), metadata.WithStartTimeOverride(k.since))
		return ctx.Err() == nil
	})
	for cgroup, k := range s.known {
		if k.scan != s.scan {
			delete(s.known, cgroup)
		}
	}
	if dropped > 0 {
		s.telemetry.ReceiverCgroupDropped.Add(ctx, dropped)
	}
	if failed > 0 {
		s.telemetry.ReceiverCgroupReadErrors.Add(ctx, failed)
		s.set.Logger.Debug("some files of cgroups could not be read", zap.Int64("files", failed), zap.Error(failure))
	}
	return s.mb.Emit(), err
}

// resource describes who lives in a cgroup.
func resource(rb *metadata.ResourceBuilder, cgroup, version string, id identity) {
	rb.SetCgroupPath(cgroup)
	rb.SetCgroupVersion(version)
	if id.containerID != "" {
		rb.SetContainerID(id.containerID)
	}
	if id.runtime != "" {
		rb.SetContainerRuntimeName(id.runtime)
	}
	if id.podUID != "" {
		rb.SetK8sPodUID(id.podUID)
	}
	if id.unit != "" {
		rb.SetSystemdUnit(id.unit)
	}
}

func (s *metricsScraper) record(now pcommon.Timestamp, x readings) {
	put := func(record func(pcommon.Timestamp, int64), v *int64) {
		if v != nil {
			record(now, *v)
		}
	}
	mb := s.mb
	put(mb.RecordContainerMemoryUsageDataPoint, x.usage)
	if x.usage != nil {
		mb.RecordContainerMemoryWorkingSetDataPoint(now, max(*x.usage-x.inactiveFile, 0))
	}
	put(mb.RecordContainerMemoryLimitDataPoint, x.limit)
	put(mb.RecordContainerMemoryAnonDataPoint, x.anon)
	put(mb.RecordContainerMemoryFileDataPoint, x.file)
	put(mb.RecordContainerMemoryShmemDataPoint, x.shmem)
	put(mb.RecordContainerMemoryKernelUnreclaimableDataPoint, x.kernel)
	for _, e := range []struct {
		event metadata.AttributeMemoryEvent
		v     *int64
	}{
		{metadata.AttributeMemoryEventHigh, x.high}, {metadata.AttributeMemoryEventMax, x.max}, {metadata.AttributeMemoryEventOom, x.oom},
		{metadata.AttributeMemoryEventOomKill, x.oomKill}, {metadata.AttributeMemoryEventOomGroupKill, x.group},
	} {
		if e.v != nil {
			mb.RecordContainerMemoryEventsDataPoint(now, *e.v, e.event)
		}
	}
	if x.minorFaults != nil {
		mb.RecordContainerMemoryPagingFaultsDataPoint(now, max(*x.minorFaults, 0), metadata.AttributeSystemPagingFaultTypeMinor)
		mb.RecordContainerMemoryPagingFaultsDataPoint(now, *x.majorFaults, metadata.AttributeSystemPagingFaultTypeMajor)
	}
	if x.cpuUser != nil && x.cpuSystem != nil {
		mb.RecordContainerCPUTimeDataPoint(now, *x.cpuUser, metadata.AttributeCPUModeUser)
		mb.RecordContainerCPUTimeDataPoint(now, *x.cpuSystem, metadata.AttributeCPUModeSystem)
	}
	if x.cpuLimit != nil {
		mb.RecordContainerCPULimitDataPoint(now, *x.cpuLimit)
	}
	put(mb.RecordContainerCPUThrottlingDataPeriodsDataPoint, x.periods)
	put(mb.RecordContainerCPUThrottlingDataThrottledPeriodsDataPoint, x.throttled)
	put(mb.RecordContainerCPUThrottlingDataThrottledTimeDataPoint, x.heldFor)
	if x.io != nil {
		mb.RecordContainerDiskIoDataPoint(now, x.io.readBytes, metadata.AttributeDiskIoDirectionRead)
		mb.RecordContainerDiskIoDataPoint(now, x.io.writeBytes, metadata.AttributeDiskIoDirectionWrite)
		mb.RecordContainerDiskOperationsDataPoint(now, x.io.reads, metadata.AttributeDiskIoDirectionRead)
		mb.RecordContainerDiskOperationsDataPoint(now, x.io.writes, metadata.AttributeDiskIoDirectionWrite)
	}
	put(mb.RecordContainerPidsCountDataPoint, x.pids)
	put(mb.RecordContainerPidsLimitDataPoint, x.pidsLimit)
	put(mb.RecordContainerPidsLimitHitsDataPoint, x.pidsHits)
	for _, name := range []string{"cpu", "memory", "io"} {
		for i, kind := range []metadata.AttributePressureKind{metadata.AttributePressureKindSome, metadata.AttributePressureKindFull} {
			if p := x.pressures[name][i]; p != nil {
				res := metadata.MapAttributePressureResource[name]
				mb.RecordContainerPressureAvg10DataPoint(now, p.avg10, res, kind)
				mb.RecordContainerPressureStallTimeDataPoint(now, float64(p.total)/1e6, res, kind)
			}
		}
	}
}
