package correlation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
)

// A level that the limit holds, while the kernel refuses page after page, has not come to rest.
func TestTheLimitsCountersAreEvidence(t *testing.T) {
	course := func(counters ...string) string {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		line := timeline.New(start)
		o := &outlook{resource: resources[memory]}
		for i := range 400 {
			at := start.Add(time.Duration(i) * 15 * time.Second)
			for _, kind := range counters {
				line.Observe(signal.Signal{Time: at, Kind: kind, Shape: signal.Counter, Value: float64(max(0, i-300) * 50)})
			}
			used, limit := min(200+2.5*float64(i), 970), 1000.0
			o.observe(line, timeline.Reading{Time: at, Value: used}, timeline.Reading{Time: at, Value: limit})
		}
		return o.last.Reason
	}
	assert.Equal(t, "pressing against the limit", course(signal.MemoryLimitHits))
	assert.Equal(t, "pressing against the limit", course(signal.MemoryMajorFaults))
	assert.NotEqual(t, "pressing against the limit", course(signal.PIDsLimitHits), "another resource's")
	assert.NotEqual(t, "pressing against the limit", course())
}
