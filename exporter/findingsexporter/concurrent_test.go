package findingsexporter

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// Pipelines, clients and the clock do what they do at once; -race watches. In the end the store and a client that saw every change
// agree.
func TestEverythingAtOnce(t *testing.T) {
	const pipelines, rounds, ids = 4, 50, 20
	s := serve(t, func(c *Config) { c.MaxFindings = ids / 2 })
	w := s.watching("?state=active,resolved")
	require.Empty(t, w.next().ids(t))

	var group sync.WaitGroup
	for p := range pipelines {
		group.Go(func() {
			for round := range rounds {
				events := findinglog.New()
				f := numbered((p + round) % ids)
				f.LastSeen = f.LastSeen.Add(time.Duration(round) * time.Second)
				events.Append(f)
				st := findingtest.Status()
				events.AppendStatus(st)
				assert.NoError(t, s.consume(context.Background(), events.Logs()))
				s.forget(context.Background(), findingtest.Now)
			}
		})
		group.Go(func() {
			for range rounds {
				for _, path := range []string{"/v1/findings", "/v1/findings?state=resolved", "/v1/findings/" + numbered(p).ID} {
					answer, err := s.client.Get(s.url + path)
					if assert.NoError(t, err) {
						assert.Contains(t, []int{http.StatusOK, http.StatusNotFound}, answer.StatusCode)
						assert.NoError(t, answer.Body.Close())
					}
				}
			}
		})
	}
	group.Wait()
	last := numbered(1000)
	last.LastSeen = last.LastSeen.Add(time.Hour)
	s.tell(last)

	seen := map[string]bool{}
	for done := false; !done; {
		e := w.next()
		switch e.name {
		case "finding":
			seen[e.finding(t).ID] = true
			done = e.finding(t).ID == last.ID
		case "forgotten":
			delete(seen, e.forgottenID(t))
		default:
			t.Fatalf("a watcher that reads got behind: %s", e.name)
		}
	}
	for w.lastID != s.changes.id(s.changes.latest()) {
		delete(seen, w.next().forgottenID(t))
	}
	stored := map[string]bool{}
	for _, f := range s.report() {
		stored[f.ID] = true
	}
	assert.Equal(t, stored, seen)
}
