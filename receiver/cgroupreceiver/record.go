package cgroupreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// record adds the data points of a cgroup. What the kernel did not tell has none.
func record(mb *metadata.MetricsBuilder, now pcommon.Timestamp, x *readings) {
	put := func(add func(pcommon.Timestamp, int64), a amount) {
		if a.known {
			add(now, a.v)
		}
	}
	put(mb.RecordContainerMemoryUsageDataPoint, x.usage)
	if x.usage.known && x.inactiveFile.known {
		mb.RecordContainerMemoryWorkingSetDataPoint(now, max(x.usage.v-x.inactiveFile.v, 0))
	}
	put(mb.RecordContainerMemoryLimitDataPoint, x.limit)
	put(mb.RecordContainerMemoryAnonDataPoint, x.anon)
	put(mb.RecordContainerMemoryFileDataPoint, x.file)
	put(mb.RecordContainerMemoryShmemDataPoint, x.shmem)
	put(mb.RecordContainerMemoryKernelUnreclaimableDataPoint, x.kernel)
	event := func(e metadata.AttributeMemoryEvent, a amount) {
		if a.known {
			mb.RecordContainerMemoryEventsDataPoint(now, a.v, e)
		}
	}
	event(metadata.AttributeMemoryEventHigh, x.high)
	event(metadata.AttributeMemoryEventMax, x.max)
	event(metadata.AttributeMemoryEventOom, x.oom)
	event(metadata.AttributeMemoryEventOomKill, x.oomKill)
	event(metadata.AttributeMemoryEventOomGroupKill, x.group)
	if x.minorFaults.known {
		mb.RecordContainerMemoryPagingFaultsDataPoint(now, x.minorFaults.v, metadata.AttributeSystemPagingFaultTypeMinor)
		mb.RecordContainerMemoryPagingFaultsDataPoint(now, x.majorFaults.v, metadata.AttributeSystemPagingFaultTypeMajor)
	}
	if x.cpuUser.known && x.cpuSystem.known {
		mb.RecordContainerCPUTimeDataPoint(now, seconds(x.cpuUser), metadata.AttributeCPUModeUser)
		mb.RecordContainerCPUTimeDataPoint(now, seconds(x.cpuSystem), metadata.AttributeCPUModeSystem)
	}
	if x.cpuQuota.known && x.cpuPeriod.known && x.cpuPeriod.v > 0 {
		mb.RecordContainerCPULimitDataPoint(now, float64(x.cpuQuota.v)/float64(x.cpuPeriod.v))
	}
	put(mb.RecordContainerCPUThrottlingDataPeriodsDataPoint, x.periods)
	put(mb.RecordContainerCPUThrottlingDataThrottledPeriodsDataPoint, x.throttled)
	put(mb.RecordContainerCPUThrottlingDataThrottledTimeDataPoint, x.heldFor)
	if x.readBytes.known {
		mb.RecordContainerDiskIoDataPoint(now, x.readBytes.v, metadata.AttributeDiskIoDirectionRead)
		mb.RecordContainerDiskIoDataPoint(now, x.writeBytes.v, metadata.AttributeDiskIoDirectionWrite)
	}
	if x.reads.known {
		mb.RecordContainerDiskOperationsDataPoint(now, x.reads.v, metadata.AttributeDiskIoDirectionRead)
		mb.RecordContainerDiskOperationsDataPoint(now, x.writes.v, metadata.AttributeDiskIoDirectionWrite)
	}
	put(mb.RecordContainerPidsCountDataPoint, x.pids)
	put(mb.RecordContainerPidsLimitDataPoint, x.pidsLimit)
	put(mb.RecordContainerPidsLimitHitsDataPoint, x.pidsHits)
	for i, of := range x.pressures {
		resource := metadata.MapAttributePressureResource[resources[i]]
		recordPressure(mb, now, of.some, resource, metadata.AttributePressureKindSome)
		recordPressure(mb, now, of.full, resource, metadata.AttributePressureKindFull)
	}
}

func recordPressure(mb *metadata.MetricsBuilder, now pcommon.Timestamp, p pressure, resource metadata.AttributePressureResource,
	kind metadata.AttributePressureKind) {
	if p.known {
		mb.RecordContainerPressureAvg10DataPoint(now, p.avg10, resource, kind)
		mb.RecordContainerPressureStallTimeDataPoint(now, float64(p.total)/1e6, resource, kind)
	}
}

func seconds(ns amount) float64 { return time.Duration(ns.v).Seconds() }
