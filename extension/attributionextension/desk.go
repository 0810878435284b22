package attributionextension

import (
	"context"
	"fmt"
	"slices"
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

// maxAnswers is how many answers are kept; the oldest goes first. What waits or is looked into is kept in any case.
const maxAnswers = 64

// grace is how much longer than its window a look may take.
const grace = 3 * time.Minute

// How a look ended, in the extension's own telemetry.
const (
	outcomeDone   = "done"
	outcomeEmpty  = "empty"
	outcomeFailed = "failed"
)

// relief is for how many times as long as a look at errors nobody is looked at after it unless by hand: every task of the machine pays
// for a look, but for no more than a third of the time.
const relief = 2

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
	relieved time.Time // until then errors are looked at by hand only
	done     sync.WaitGroup
	arrivals map[attribution.Kind]chan struct{}
}

// ticket is a question with what is known of its answer.
type ticket struct {
	q attribution.Question
	a attribution.Answer
	// misses is how many looks in a row have failed or named nobody, this one included once it has ended.
	misses int
}

// over says that there is an answer, or that there will be none.
func (t *ticket) over() bool { return t.a.State == attribution.Done || t.a.State == attribution.Failed }

var _ attribution.Desk = (*desk)(nil)

func newDesk(set extension.Settings, cfg *Config) (*desk, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	d := &desk{cfg: cfg, logger: set.Logger, telemetry: t, now: time.Now, arrivals: map[attribution.Kind]chan struct{}{}}
	for _, k := range attribution.Kinds {
		d.arrivals[k] = make(chan struct{}, 1)
	}
	return d, nil
}

// Start implements component.Component.
func (d *desk) Start(context.Context, component.Host) error {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	for _, k := range attribution.Kinds {
		d.done.Go(func() { d.run(ctx, k) })
	}
	return nil
}

// Shutdown implements component.Component.
func (d *desk) Shutdown(context.Context) error {
	if d.cancel != nil {
		d.cancel()
		d.done.Wait()
	}
	d.telemetry.Shutdown()
	return nil
}

// Ask implements attribution.Desk.
func (d *desk) Ask(q attribution.Question) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	misses := 0
	if last := d.latest(q); last != nil {
		if !last.over() {
			return last.a.ID, nil
		}
		// Only who sets a window asks by hand.
		if q.Window == 0 && now.Sub(last.a.Ended) < d.rest(last.misses) {
			return "", d.refuse("recent", attribution.ErrRecent)
		}
		misses = last.misses
	}
	switch {
	case d.attend == nil:
		return "", d.refuse("nobody", attribution.ErrNobody)
	case len(d.waiting) >= d.cfg.QueueSize:
		return "", d.refuse("busy", attribution.ErrBusy)
	}
	d.last++
	t := &ticket{q: q, misses: misses,
		a: attribution.Answer{ID: strconv.Itoa(d.last), Kind: q.Kind, State: attribution.Waiting, Subject: q.Name, Asked: now}}
	d.waiting = append(d.waiting, t)
	if d.answers = append(d.answers, t); len(d.answers) > maxAnswers {
		if i := slices.IndexFunc(d.answers, (*ticket).over); i >= 0 {
			d.answers = slices.Delete(d.answers, i, i+1)
		}
	}
	select {
	case d.arrivals[q.Kind] <- struct{}{}:
	default:
	}
	return t.a.ID, nil
}

// latest is the latest ticket of the same question; nil when there is none.
func (d *desk) latest(q attribution.Question) *ticket {
	for _, t := range slices.Backward(d.answers) {
		if of := t.q; of.Kind == q.Kind && of.Cgroup == q.Cgroup && of.Mountpoint == q.Mountpoint && of.Disk == q.Disk {
			return t
		}
	}
	return nil
}

// rest is how long a subject is left alone after so many looks in a row that named nobody: what was too little to see may be seen a
// moment later, but not for ever.
func (d *desk) rest(misses int) time.Duration {
	rest := d.cfg.Again
	if misses > 0 {
		rest = d.cfg.Retry
	}
	for range misses - 1 {
		if rest = 2 * rest; rest >= d.cfg.Again {
			return d.cfg.Again
		}
	}
	return rest
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

// run answers one question of a kind after the other: what fails now is not to wait until it is known who holds some memory.
func (d *desk) run(ctx context.Context, k attribution.Kind) {
	for {
		t, attend, rest := d.next(k)
		if t == nil {
			select {
			case <-ctx.Done():
				return
			case <-d.arrivals[k]:
			case <-rest:
			}
			continue
		}
		d.answer(ctx, t, attend)
		if ctx.Err() != nil {
			return
		}
	}
}

// next is the next question of a kind and who answers it. Where there is none now, rest tells when there may be; nil: when one comes.
func (d *desk) next(k attribution.Kind) (t *ticket, by attribution.Attributor, rest <-chan time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var left time.Duration
	if k == attribution.Errors && !d.relieved.IsZero() {
		left = d.relieved.Sub(d.now())
	}
	i := slices.IndexFunc(d.waiting, func(t *ticket) bool { return t.q.Kind == k && (left <= 0 || t.q.Window > 0) })
	if i < 0 {
		if left > 0 {
			rest = time.After(left)
		}
		return nil, nil, rest
	}
	t = d.waiting[i]
	d.waiting = slices.Delete(d.waiting, i, i+1)
	t.a.State, t.a.Began = attribution.Running, d.now()
	if d.attend == nil {
		return t, nil, nil
	}
	return t, *d.attend, nil
}

// answer has one question answered, in its time.
func (d *desk) answer(ctx context.Context, t *ticket, attend attribution.Attributor) {
	q := t.q
	if q.Window == 0 {
		q.Window = d.cfg.window(q.Kind)
	}
	if q.Kind == attribution.Memory && !q.Before.IsZero() {
		// Half of the time that is left: the answer must be read, too.
		q.Window = min(q.Window, q.Before.Sub(d.now())/2)
	}
	least, most := q.Kind.Bounds()
	q.Window = min(max(q.Window, least), most)
	a, err := attribution.Answer{}, error(attribution.ErrNobody)
	if attend != nil {
		look, cancel := context.WithTimeout(ctx, q.Window+grace)
		a, err = attend(look, q)
		cancel()
	}
	a.State = attribution.Done
	outcome := outcomeDone
	switch {
	case err != nil:
		a.State, a.Reason, outcome = attribution.Failed, err.Error(), outcomeFailed
		d.logger.Info("a look failed", zap.String("at", string(q.Kind)), zap.String("of", q.Name), zap.Error(err))
	case a.Empty():
		outcome = outcomeEmpty
	}
	d.mu.Lock()
	a.ID, a.Kind, a.Subject, a.Asked, a.Began, a.Ended = t.a.ID, t.a.Kind, t.a.Subject, t.a.Asked, t.a.Began, d.now()
	t.a = a
	if q.Kind == attribution.Errors {
		d.relieved = a.Ended.Add(relief * a.Ended.Sub(a.Began))
	}
	if t.misses++; outcome == outcomeDone {
		t.misses = 0
	}
	d.mu.Unlock()
	d.telemetry.ExtensionAttributionLooks.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", string(q.Kind)), attribute.String("outcome", outcome)))
}
