package correlationprocessor

import (
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
)

// askAgain is how often a question that the patterns ask is put. Whoever answers may find that too often, and says so.
const askAgain = 30 * time.Second

// question is what was asked about whom.
type question struct {
	id   entity.ID
	kind attribution.Kind
}

// meet finds who takes questions, and offers to tell whom a name means.
func (c *correlator) meet(host component.Host) {
	if c.desk = attribution.Find(host); c.desk == nil {
		return
	}
	c.forget = c.desk.Know(func(name, namespace string) (attribution.Subject, bool) {
		e, ok := c.engine.Named(name, namespace)
		return subject(e), ok
	})
}

// subject is an entity for who looks into it.
func subject(e entity.Entity) attribution.Subject {
	s := attribution.Subject{Name: e.Finding().Display(), Cgroup: e.CgroupPath}
	switch e.Kind {
	case entity.Filesystem:
		s.Mountpoint = e.Name
	case entity.Device:
		s.Disk = e.Name
	}
	return s
}

// ask asks what the patterns want to know. The answer comes in as a log event, like everything that is observed.
func (c *correlator) ask(now time.Time) {
	if c.desk == nil {
		return
	}
	wanted := map[question]correlation.Question{}
	for _, q := range c.engine.Questions() {
		wanted[question{q.Entity.ID, q.Kind}] = q
	}
	for id := range c.asked {
		if _, still := wanted[id]; !still {
			delete(c.asked, id)
		}
	}
	for id, w := range wanted {
		if now.Sub(c.asked[id]) < askAgain {
			continue
		}
		c.asked[id] = now
		q := attribution.Question{Subject: subject(w.Entity), Kind: w.Kind, Before: w.Before}
		if _, err := c.desk.Ask(q); err != nil {
			c.set.Logger.Debug("a question is not taken", zap.String("for", string(q.Kind)), zap.String("of", q.Name), zap.Error(err))
		}
	}
}
