package attributionextension

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/your-org/tapio/extension/attributionextension/internal/metadata"
	"github.com/your-org/tapio/internal/attribution"
)

func startDesk(t *testing.T, change func(*Config)) *desk {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	d, err := newDesk(extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, d.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, d.Shutdown(context.Background())) })
	return d
}

func of(cgroup string) attribution.Question {
	return attribution.Question{Kind: attribution.Memory, Subject: attribution.Subject{Name: cgroup, Cgroup: "/" + cgroup}}
}

func (d *desk) ended(t *testing.T, id string) attribution.Answer {
	t.Helper()
	var a attribution.Answer
	require.Eventually(t, func() bool {
		var ok bool
		a, ok = d.Answer(id)
		return ok && (a.State == attribution.Done || a.State == attribution.Failed)
	}, 10*time.Second, time.Millisecond)
	return a
}

func TestOneAfterTheOther(t *testing.T) {
	d := startDesk(t, func(c *Config) { c.QueueSize = 2 })
	_, err := d.Ask(of("early"))
	require.ErrorIs(t, err, attribution.ErrNobody)

	began, goOn := make(chan attribution.Question, 8), make(chan struct{})
	leave := d.Attend(func(_ context.Context, q attribution.Question) (attribution.Answer, error) {
		began <- q
		<-goOn
		if q.Name == "b" {
			return attribution.Answer{}, errors.New("it has ended")
		}
		return attribution.Answer{Text: "held by " + q.Name, Sites: []attribution.Site{{Function: "f", Grade: attribution.Retained}}}, nil
	})
	a, err := d.Ask(of("a"))
	require.NoError(t, err)
	assert.Equal(t, 30*time.Second, (<-began).Window)
	b, err := d.Ask(of("b"))
	require.NoError(t, err)
	again, err := d.Ask(of("b"))
	require.NoError(t, err)
	assert.Equal(t, b, again, "the same question waits already")
	c, err := d.Ask(of("c"))
	require.NoError(t, err)
	_, err = d.Ask(of("d"))
	require.ErrorIs(t, err, attribution.ErrBusy)

	got, ok := d.Answer(a)
	assert.True(t, ok)
	assert.Equal(t, attribution.Running, got.State)
	got, _ = d.Answer(c)
	assert.Equal(t, attribution.Waiting, got.State)
	close(goOn)
	got = d.ended(t, a)
	assert.Equal(t, "held by a", got.Text)
	assert.Equal(t, "a", got.Subject)
	got = d.ended(t, b)
	assert.Equal(t, attribution.Failed, got.State)
	assert.Equal(t, "it has ended", got.Reason)
	d.ended(t, c)

	// Not so soon again by itself, but whenever somebody asks by hand.
	_, err = d.Ask(of("a"))
	require.ErrorIs(t, err, attribution.ErrRecent)
	byHand := of("a")
	byHand.Window = time.Minute
	id, err := d.Ask(byHand)
	require.NoError(t, err)
	d.ended(t, id)
	leave()
	_, err = d.Ask(of("z"))
	require.ErrorIs(t, err, attribution.ErrNobody)
	_, ok = d.Answer("nothing")
	assert.False(t, ok)
}

// What fails now does not wait until it is known who holds some memory.
func TestKindsDoNotWaitForEachOther(t *testing.T) {
	d := startDesk(t, nil)
	d.Attend(func(ctx context.Context, q attribution.Question) (attribution.Answer, error) {
		if q.Kind == attribution.Memory {
			<-ctx.Done()
		}
		return attribution.Answer{Text: "it fails"}, ctx.Err()
	})
	for _, name := range []string{"a", "b"} {
		_, err := d.Ask(of(name))
		require.NoError(t, err)
	}
	q := of("a")
	q.Kind = attribution.Errors
	id, err := d.Ask(q)
	require.NoError(t, err)
	assert.Equal(t, "it fails", d.ended(t, id).Text)
}

// Every task of the machine pays for a look at errors: after one there is a rest, unless somebody asks by hand.
func TestRelief(t *testing.T) {
	d := startDesk(t, nil)
	const took = 100 * time.Millisecond
	d.Attend(func(context.Context, attribution.Question) (attribution.Answer, error) {
		time.Sleep(took)
		return attribution.Answer{}, nil
	})
	var ids []string
	for _, name := range []string{"a", "b", "by hand"} {
		q := of(name)
		q.Kind = attribution.Errors
		if name == "by hand" {
			q.Window = time.Second
		}
		id, err := d.Ask(q)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	a, b, hand := d.ended(t, ids[0]), d.ended(t, ids[1]), d.ended(t, ids[2])
	assert.True(t, hand.Began.Before(b.Began), "who asks by hand goes first")
	assert.False(t, hand.Began.Before(a.Ended))
	assert.GreaterOrEqual(t, b.Began.Sub(hand.Ended), relief*took)
}

// The answer must come before it is too late, and a look has its bounds.
func TestWindow(t *testing.T) {
	for name, c := range map[string]struct {
		kind         attribution.Kind
		window, left time.Duration
		want         time.Duration
	}{
		"as configured":            {attribution.Memory, 0, 0, 30 * time.Second},
		"as asked":                 {attribution.Memory, time.Minute, 0, time.Minute},
		"too long":                 {attribution.Memory, time.Hour, 0, 2 * time.Minute},
		"too short":                {attribution.Memory, time.Second, 0, 5 * time.Second},
		"half of the rest":         {attribution.Memory, 0, 30 * time.Second, 15 * time.Second},
		"nearly too late":          {attribution.Memory, 0, 2 * time.Second, 5 * time.Second},
		"errors as configured":     {attribution.Errors, 0, 0, 5 * time.Second},
		"errors as asked":          {attribution.Errors, 20 * time.Second, 0, 20 * time.Second},
		"errors for too long":      {attribution.Errors, time.Minute, 0, 30 * time.Second},
		"errors for too short":     {attribution.Errors, time.Millisecond, 0, time.Second},
		"errors come at the limit": {attribution.Errors, 0, 2 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDesk(t, nil)
			now := time.Unix(1000, 0)
			d.now = func() time.Time { return now }
			got := make(chan time.Duration, 1)
			d.Attend(func(_ context.Context, q attribution.Question) (attribution.Answer, error) {
				got <- q.Window
				return attribution.Answer{}, nil
			})
			q := of("a")
			q.Kind, q.Window = c.kind, c.window
			if c.left > 0 {
				q.Before = now.Add(c.left)
			}
			id, err := d.Ask(q)
			require.NoError(t, err)
			assert.Equal(t, c.want, <-got)
			d.ended(t, id)
		})
	}
}

// Soon again after a look that failed or named nobody, each time later; seldom where somebody was named.
func TestRetry(t *testing.T) {
	d := startDesk(t, nil)
	now := time.Unix(1000, 0)
	var clock sync.Mutex
	d.now = func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return now
	}
	pass := func(by time.Duration) {
		clock.Lock()
		defer clock.Unlock()
		now = now.Add(by)
	}
	named := []attribution.Site{{Function: "f", Grade: attribution.Retained}}
	var sites []attribution.Site
	var failed error
	d.Attend(func(context.Context, attribution.Question) (attribution.Answer, error) {
		return attribution.Answer{Sites: sites}, failed
	})
	ask := func() { // now, and not a moment sooner
		t.Helper()
		pass(-time.Millisecond)
		if d.last > 0 {
			_, err := d.Ask(of("a"))
			require.ErrorIs(t, err, attribution.ErrRecent)
		}
		pass(time.Millisecond)
		id, err := d.Ask(of("a"))
		require.NoError(t, err)
		d.ended(t, id)
	}
	failed = errors.New("it has ended")
	ask()
	failed, sites = nil, []attribution.Site{{Function: "f", Grade: "growth"}}
	for _, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		pass(wait)
		ask()
	}
	// Another question about it has a line of its own.
	q := of("a")
	q.Kind = attribution.Errors
	id, err := d.Ask(q)
	require.NoError(t, err)
	d.ended(t, id)
	pass(10 * time.Minute)
	sites = named
	ask()
	pass(10 * time.Minute)
	sites = nil
	ask()
	pass(30 * time.Second)
	ask()
}

func TestAnswersAreBounded(t *testing.T) {
	d := startDesk(t, nil)
	d.Attend(func(context.Context, attribution.Question) (attribution.Answer, error) {
		return attribution.Answer{}, nil
	})
	for i := range maxAnswers + 5 {
		id, err := d.Ask(of(fmt.Sprint(i)))
		require.NoError(t, err)
		d.ended(t, id)
	}
	assert.Len(t, d.answers, maxAnswers)
}

// Shutting down ends a look that is under way.
// A question that is being looked into has its place, however many are answered meanwhile: who asks for it finds it.
func TestAQuestionIsKeptUntilItIsAnswered(t *testing.T) {
	d := startDesk(t, nil)
	goOn := make(chan struct{})
	d.Attend(func(_ context.Context, q attribution.Question) (attribution.Answer, error) {
		if q.Kind == attribution.Memory {
			<-goOn
		}
		return attribution.Answer{}, nil
	})
	long, err := d.Ask(of("long"))
	require.NoError(t, err)
	for range maxAnswers + 1 {
		q := of("short")
		q.Kind, q.Window = attribution.Errors, time.Second
		id, err := d.Ask(q)
		require.NoError(t, err)
		d.ended(t, id)
	}
	_, ok := d.Answer(long)
	assert.True(t, ok)
	again, err := d.Ask(of("long"))
	require.NoError(t, err)
	assert.Equal(t, long, again)
	close(goOn)
	d.ended(t, long)
	assert.Len(t, d.answers, maxAnswers)
}

func TestShutdownWhileLooking(t *testing.T) {
	d := startDesk(t, nil)
	began := make(chan struct{})
	d.Attend(func(ctx context.Context, _ attribution.Question) (attribution.Answer, error) {
		close(began)
		<-ctx.Done()
		return attribution.Answer{}, ctx.Err()
	})
	_, err := d.Ask(of("a"))
	require.NoError(t, err)
	<-began
}

func TestFind(t *testing.T) {
	d := startDesk(t, nil)
	_, ok := d.Find("api", "")
	assert.False(t, ok)
	leave := d.Know(func(name, namespace string) (attribution.Subject, bool) {
		return attribution.Subject{Name: name, Cgroup: "/x"}, namespace == "shop"
	})
	s, ok := d.Find("api", "shop")
	assert.True(t, ok)
	assert.Equal(t, "/x", s.Cgroup)
	leave()
	_, ok = d.Find("api", "shop")
	assert.False(t, ok)
}

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"window":        func(c *Config) { c.Window = time.Second },
		"again":         func(c *Config) { c.Again = time.Second },
		"errors_window": func(c *Config) { c.ErrorsWindow = time.Minute },
		"retry":         func(c *Config) { c.Retry = c.Again + 1 },
		"retry is 1ns":  func(c *Config) { c.Retry = 1 },
		"queue_size":    func(c *Config) { c.QueueSize = 0 },
	} {
		c := createDefaultConfig().(*Config)
		change(c)
		assert.ErrorContains(t, c.Validate(), field)
	}
}
