package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/jsontext"
)

// Attributing is a source that can be asked who holds memory, and which system calls fail: a collector.
type Attributing interface {
	// Attribute has an entity looked at, and returns when that is over.
	Attribute(ctx context.Context, kind attribution.Kind, entity, namespace string, window time.Duration) (attribution.Answer, error)
	// Profile returns what is retained, by an answer's id, for `go tool pprof`.
	Profile(ctx context.Context, id string) ([]byte, error)
}

// lookEvery is how often the answer is asked for.
const lookEvery = time.Second

// Attribute implements Attributing.
func (e *endpoint) Attribute(ctx context.Context, kind attribution.Kind, entity, namespace string, window time.Duration) (a attribution.Answer, err error) {
	body, err := json.Marshal(map[string]any{"kind": kind, "entity": entity, "namespace": namespace, "seconds": int(window.Seconds())})
	if err != nil {
		return a, err
	}
	if err := e.post(ctx, "/v1/attributions", body, &a); err != nil {
		return a, err
	}
	for a.State == attribution.Waiting || a.State == attribution.Running {
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(lookEvery):
		}
		body, found, err := e.get(ctx, "/v1/attributions/"+url.PathEscape(a.ID), nil)
		if err != nil {
			return a, err
		}
		if !found {
			return a, fmt.Errorf("%s has forgotten what it was asked: it was restarted, or asked too much", e.name)
		}
		a = attribution.Answer{}
		if err := json.Unmarshal(body, &a); err != nil {
			return a, fmt.Errorf("%s answers with something that is no attribution: %w", e.name, jsontext.Explain(err))
		}
	}
	return a, nil
}

func (e *endpoint) post(ctx context.Context, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return e.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusAccepted {
		resp.StatusCode = http.StatusOK
	}
	if err := e.refused(resp, "application/json"); err != nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("%s answers with something that is no attribution: %w", e.name, jsontext.Explain(err))
	}
	return nil
}

// Profile implements Attributing.
func (e *endpoint) Profile(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	resp, err := e.send(ctx, "/v1/attributions/"+url.PathEscape(id)+"/pprof", nil, nil)
	if err != nil {
		return nil, e.explain(err)
	}
	defer resp.Body.Close()
	if err := e.refused(resp, "application/octet-stream"); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}
