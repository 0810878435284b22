package attributionextension

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/extension/attributionextension/internal/metadata"
	"github.com/your-org/tapio/internal/attribution"
)

// maxAnswers is how many answers are kept; the oldest goes first.
const maxAnswers = 64

// grace is how much longer than its window a look may take.
const grace = 3 * time.Minute

// desk is the extension.
type desk struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	now       func() time.Time

	mu       sync.Mutex
	last     int
	waiting  []*ticket
	answers  []*ticket // in the order in which they were asked
	attend   *attribution.Attributor
	know     *func(name, namespace string) (attribution.Subject, bool)
	cancel   context.CancelFunc
	done     chan struct{}
	arrivals chan struct{}
}

// ticket is a question with what is known of its answer.
type ticket struct {
	q attribution.Question
	a attribution.Answer
}

var _ attribution.Desk = (*desk)(nil)

func newDesk(set extension.Settings, cfg *Config) (*desk, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	return &desk{cfg: cfg, logger: set.Logger, telemetry: t, now: time.Now, arrivals: make(chan struct{}, 1)}, nil
}

// Start implements component.Component.
func (d *desk) Start(context.Context, component.Host) error {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.done = cancel, make(chan struct{})
	go d.run(ctx)
	return nil
}

// Shutdown implements component.Component.
func (d *desk) Shutdown(context.Context) error {
	if d.cancel != nil {
		d.cancel()
		<-d.done
	}
	d.telemetry.Shutdown()
	return nil
}

// Ask implements attribution.Desk.
func (d *desk) Ask(q attribution.Question) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for i := len(d.answers) - 1; i >= 0; i-- {
		t := d.answers[i]
		if t.q.Cgroup != q.Cgroup {
			continue
		}
		if t.a.State == attribution.Waiting || t.a.State == attribution.Running {
			return t.a.ID, nil
		}
		// Only who sets a window asks by hand.
		if q.Window == 0 && now.Sub(t.a.Asked) < d.cfg.Again {
			return "", d.refuse("recent", attribution.ErrRecent)
		}
		break
	}
	switch {
	case d.attend == nil:
		return "", d.refuse("nobody", attribution.ErrNobody)
	case len(d.waiting) >= d.cfg.QueueSize:
		return "", d.refuse("busy", attribution.ErrBusy)
	}
	d.last++
	t := &ticket{q: q, a: attribution.Answer{ID: strconv.Itoa(d.last), State: attribution.Waiting, Subject: q.Name, Asked: now}}
	d.waiting = append(d.waiting, t)
	if d.answers = append(d.answers, t); len(d.answers) > maxAnswers {
		d.answers = d.answers[1:]
	}
	select {
	case d.arrivals <- struct{}{}:
	default:
	}
	return t.a.ID, nil
}

func (d *desk) refuse(reason string, err error) error {
	d.telemetry.ExtensionAttributionRefused.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
	return err
}

// Answer implements attribution.Desk.
func (d *desk) Answer(id string) (attribution.Answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.answers {
		if t.a.ID == id {
			return t.a, true
		}
	}
	return attribution.Answer{}, false
}

// Attend implements attribution.Desk.
func (d *desk) Attend(a attribution.Attributor) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attend = &a
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.attend == &a {
			d.attend = nil
		}
	}
}

// Know implements attribution.Desk.
func (d *desk) Know(find func(name, namespace string) (attribution.Subject, bool)) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.know = &find
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.know == &find {
			d.know = nil
		}
	}
}

// Find implements attribution.Desk.
func (d *desk) Find(name, namespace string) (attribution.Subject, bool) {
	d.mu.Lock()
	find := d.know
	d.mu.Unlock()
	if find == nil {
		return attribution.Subject{}, false
	}
	return (*find)(name, namespace)
}

// run answers one question after the other.
func (d *desk) run(ctx context.Context) {
	defer close(d.done)
	for {
		t, attend := d.next()
		if t == nil {
			select {
			case <-ctx.Done():
				return
			case <-d.arrivals:
			}
			continue
		}
		d.answer(ctx, t, attend)
		if ctx.Err() != nil {
			return
		}
	}
}

func (d *desk) next() (*ticket, attribution.Attributor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil, nil
	}
	t := d.waiting[0]
	d.waiting = d.waiting[1:]
	t.a.State, t.a.Began = attribution.Running, d.now()
	if d.attend == nil {
		return t, nil
	}
	return t, *d.attend
}

// answer has one question answered, in its time.
func (d *desk) answer(ctx context.Context, t *ticket, attend attribution.Attributor) {
	q := t.q
	if q.Window == 0 {
		q.Window = d.cfg.Window
	}
	if !q.Before.IsZero() {
		// Half of the time that is left: the answer must be read, too.
		q.Window = min(q.Window, q.Before.Sub(d.now())/2)
	}
	q.Window = min(max(q.Window, minWindow), maxWindow)
	a, err := attribution.Answer{}, error(attribution.ErrNobody)
	if attend != nil {
		look, cancel := context.WithTimeout(ctx, q.Window+grace)
		a, err = attend(look, q)
		cancel()
	}
	outcome := attribution.Done
	if err != nil {
		outcome, a.Reason = attribution.Failed, err.Error()
		d.logger.Info("who holds the memory could not be found out", zap.String("of", q.Name), zap.Error(err))
	}
	d.mu.Lock()
	a.ID, a.Subject, a.Asked, a.Began = t.a.ID, t.a.Subject, t.a.Asked, t.a.Began
	a.State, a.Ended = outcome, d.now()
	t.a = a
	d.mu.Unlock()
	d.telemetry.ExtensionAttributionLooks.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", string(outcome))))
}
