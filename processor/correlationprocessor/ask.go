package correlationprocessor

import (
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/attribution"
)

// askAgain is how often it is asked who holds the memory of an entity for which it is foreseen to run out. Whoever answers may
// find that too often, and says so.
const askAgain = 30 * time.Second

// meet finds who takes questions, and offers to tell whom a name means.
func (c *correlator) meet(host component.Host) {
	if c.desk = attribution.Find(host); c.desk == nil {
		return
	}
	c.forget = c.desk.Know(func(name, namespace string) (attribution.Subject, bool) {
		e, ok := c.engine.Named(name, namespace)
		return attribution.Subject{Name: e.Finding().Display(), Cgroup: e.CgroupPath}, ok
	})
}

// ask asks who holds the memory of what is foreseen to run out of it. The answer comes in as a log event, like everything that is
// observed.
func (c *correlator) ask(now time.Time) {
	if c.desk == nil {
		return
	}
	growing := c.engine.Growing()
	for id := range c.asked {
		if _, still := growing[id]; !still {
			delete(c.asked, id)
		}
	}
	for id, g := range growing {
		if now.Sub(c.asked[id]) < askAgain {
			continue
		}
		c.asked[id] = now
		q := attribution.Question{Subject: attribution.Subject{Name: g.Entity.Finding().Display(), Cgroup: g.Entity.CgroupPath}, Before: g.Earliest}
		if _, err := c.desk.Ask(q); err != nil {
			c.set.Logger.Debug("who holds the memory is not looked for", zap.String("of", q.Name), zap.Error(err))
		}
	}
}
