//go:build linux

package ebpfreceiver

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/bpf"
)

// buckets is how many powers of two (µs) the kernel's programs sort durations into; the last has all that are longer.
const buckets = len(bpf.PerformanceDiskCounts{}.Buckets)

// histogram is a distribution of durations among the counts of a group of probes: the sum at sum (µs), the buckets at from.
type histogram struct {
	name, description, group string
	sum, from                int
}

// histograms are those of a cgroup. (The metrics builder makes gauges and sums only.)
var histograms = []histogram{
	{"container.network.tcp.connect.duration", "Time that it took to connect.", "network", int(bpf.NetworkCountCONNECT_US), int(bpf.NetworkCountCONNECT_BUCKETS)},
	{"container.network.tcp.rtt", "Smoothed round trip time of connections, as it was when they ended.", "network", int(bpf.NetworkCountRTT_US), int(bpf.NetworkCountRTT_BUCKETS)},
	{"dns.lookup.duration", "Time from when a DNS server was asked until it answered, whatever the answer was.", "dns", int(bpf.DNSCountANSWERED_US), int(bpf.DNSCountANSWERED_BUCKETS)},
	{"container.cpu.run_queue.duration", "Time that tasks waited for a CPU each time that they got one: of each task the mean of an interval.", "performance", int(bpf.PerformanceCountRUN_WAIT_US), int(bpf.PerformanceCountRUN_BUCKETS)},
}

// bounds are the upper bounds of all buckets but the last (s).
var bounds = func() []float64 {
	var b []float64
	for i := range buckets - 1 {
		b = append(b, math.Ldexp(1e-6, i+1))
	}
	return b
}()

// add adds the histogram, where anything was counted, and returns its data point.
func (h histogram) add(to pmetric.MetricSlice, began, now pcommon.Timestamp, us uint64, counts []uint64) (p pmetric.HistogramDataPoint, ok bool) {
	var count uint64
	for _, in := range counts {
		count += in
	}
	if count == 0 {
		return p, false
	}
	m := to.AppendEmpty()
	m.SetName(h.name)
	m.SetDescription(h.description)
	m.SetUnit("s")
	d := m.SetEmptyHistogram()
	d.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p = d.DataPoints().AppendEmpty()
	p.SetStartTimestamp(began)
	p.SetTimestamp(now)
	p.SetCount(count)
	p.SetSum(float64(us) / 1e6)
	p.ExplicitBounds().FromRaw(bounds)
	p.BucketCounts().FromRaw(counts)
	return p, true
}
