package findingsexporter

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/your-org/tapio/internal/attribution"
)

// answers is a desk with one answer.
type answers struct {
	attribution.Desk
	asked []attribution.Question
	err   error
}

func (*answers) Start(context.Context, component.Host) error { return nil }
func (*answers) Shutdown(context.Context) error              { return nil }

func (*answers) Find(name, namespace string) (attribution.Subject, bool) {
	return attribution.Subject{Name: name, Cgroup: "/api"}, name == "api" && namespace == "shop"
}

func (a *answers) Ask(q attribution.Question) (string, error) {
	a.asked = append(a.asked, q)
	return "7", a.err
}

func (*answers) Answer(id string) (attribution.Answer, bool) {
	return attribution.Answer{ID: id, State: attribution.Done, Subject: "api", Text: "held by f", Profile: []byte("profile")}, id == "7"
}

func TestAttribution(t *testing.T) {
	s := serve(t, nil)
	desk := &answers{}
	post := func(kind, body string) (int, string) {
		resp, err := s.client.Post(s.url+"/v1/attributions", kind, strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	const question = `{"entity": "api", "namespace": "shop", "seconds": 30}`
	status, _ := post("application/json", question)
	assert.Equal(t, http.StatusServiceUnavailable, status, "nobody is there to ask")
	s.desk = desk
	for _, c := range []struct {
		kind, body string
		err        error
		want       int
	}{
		{"application/json", question, nil, http.StatusAccepted},
		{"text/plain", question, nil, http.StatusUnsupportedMediaType}, // what a page of another site could have sent
		{"application/json", `{"entity": "api", "seconds": 30}`, nil, http.StatusNotFound},
		{"application/json", `{"entity": "api", "namespace": "shop", "kind": "errors", "seconds": 1}`, nil, http.StatusAccepted},
		{"application/json", `{"entity": "api", "namespace": "shop", "kind": "errors", "seconds": 31}`, nil, http.StatusBadRequest},
		{"application/json", `{"entity": "api", "namespace": "shop", "kind": "colour", "seconds": 5}`, nil, http.StatusBadRequest},
		{"application/json", `{"entity": "api", "namespace": "shop", "seconds": 3000}`, nil, http.StatusBadRequest},
		{"application/json", `{"namespace": "shop", "seconds": 30}`, nil, http.StatusBadRequest},
		{"application/json", `{"entity": "api", "colour": "red", "seconds": 30}`, nil, http.StatusBadRequest},
		{"application/json", `[`, nil, http.StatusBadRequest},
		{"application/json", question, attribution.ErrBusy, http.StatusTooManyRequests},
		{"application/json", question, attribution.ErrNobody, http.StatusServiceUnavailable},
	} {
		desk.err = c.err
		status, body := post(c.kind, c.body)
		assert.Equal(t, c.want, status, "%s: %s", c.body, body)
	}
	var kinds []attribution.Kind
	for _, q := range desk.asked {
		kinds = append(kinds, q.Kind)
	}
	assert.Equal(t, []attribution.Kind{attribution.Memory, attribution.Errors, attribution.Memory, attribution.Memory}, kinds)

	answer, body := s.get("/v1/attributions/7")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Contains(t, string(body), `"text":"held by f"`)
	_, body = s.get("/v1/attributions/7/pprof")
	assert.Equal(t, "profile", string(body))
	answer, _ = s.get("/v1/attributions/8")
	assert.Equal(t, http.StatusNotFound, answer.StatusCode)
}
