package systemdreceiver

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/scraper/scrapererror"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

// metricsScraper tells the state of the units. States come from the tracker; only what systemd sends no signals of, memory and
// tasks of running units, is asked for at each scrape.
type metricsScraper struct {
	tracker *tracker
	mb      *metadata.MetricsBuilder
	rb      *metadata.ResourceBuilder
	// told are the states of the units that the scrape before told: of one that a unit has left 0 is told, once, or whoever keeps the last
	// value of each series, as Prometheus' exporter does, would show the unit in two states.
	told map[string]told
}

type told struct{ activeState, result string }

func (s *metricsScraper) start(context.Context, component.Host) error {
	s.tracker.start()
	return nil
}

func (s *metricsScraper) shutdown(context.Context) error {
	s.tracker.stop()
	s.tracker.telemetry.Shutdown()
	return nil
}

func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	units, b, err := s.tracker.snapshot()
	if err != nil {
		return pmetric.NewMetrics(), nil // the tracker has said so, and goes on trying: once is enough
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := s.told
	s.told = make(map[string]told, len(units))
	for _, u := range units {
		now := pcommon.NewTimestampFromTime(time.Now())
		s.mb.RecordSystemdUnitStateDataPoint(now, 1, u.activeState)
		failed := int64(0)
		if u.activeState == "failed" {
			failed = 1
		}
		is := told{u.activeState, u.failure()}
		s.told[u.name] = is
		s.mb.RecordSystemdUnitFailedDataPoint(now, failed, is.result)
		if was, ok := before[u.name]; ok && was.activeState != is.activeState {
			s.mb.RecordSystemdUnitStateDataPoint(now, 0, was.activeState)
		}
		if was, ok := before[u.name]; ok && was.result != is.result {
			s.mb.RecordSystemdUnitFailedDataPoint(now, 0, was.result)
		}
		if u.service {
			s.mb.RecordSystemdServiceRestartsDataPoint(now, int64(u.restarts))
		}
		if u.service && u.activeState == "active" && ctx.Err() == nil {
			for name, record := range map[string]func(pcommon.Timestamp, int64){
				"MemoryCurrent": s.mb.RecordSystemdUnitMemoryUsageDataPoint, "MemoryMax": s.mb.RecordSystemdUnitMemoryLimitDataPoint,
				"TasksCurrent": s.mb.RecordSystemdUnitTasksCountDataPoint, "TasksMax": s.mb.RecordSystemdUnitTasksLimitDataPoint,
			} {
				if v, ok := b.amount(ctx, u.path, serviceFace, name); ok {
					record(now, v)
				}
			}
		}
		s.rb.SetSystemdUnit(u.name)
		s.mb.EmitForResource(metadata.WithResource(s.rb.Emit()))
	}
	if err := ctx.Err(); err != nil { // of any other kind, it would have the collector drop what systemd had told by itself
		err = scrapererror.NewPartialScrapeError(fmt.Errorf("ask systemd for the memory and tasks of all units: %w", err), 1)
		return s.mb.Emit(), err
	}
	return s.mb.Emit(), nil
}
