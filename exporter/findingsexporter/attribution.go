package findingsexporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/your-org/tapio/internal/attribution"
)

// ask takes the question who holds an entity's memory, or which of its system calls fail; whoever asks looks for the answer under the
// Location that is returned. It is the one thing here that makes the collector do something, for a bounded time: a page of another site must not have a
// browser send it, which this content type prevents.
func (e *findingsExporter) ask(w http.ResponseWriter, r *http.Request) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		refuse(w, problem{Status: http.StatusUnsupportedMediaType, Detail: "want Content-Type: application/json"})
		return
	}
	var q struct {
		Entity    string           `json:"entity"`
		Namespace string           `json:"namespace"`
		Kind      attribution.Kind `json:"kind"`
		Seconds   int              `json:"seconds"`
	}
	q.Kind = attribution.Memory
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
	in.DisallowUnknownFields()
	err := in.Decode(&q)
	if shortest, longest := seconds(q.Kind); err != nil || q.Entity == "" || q.Seconds < max(shortest, 1) || q.Seconds > longest {
		shortest, longest = seconds(attribution.Memory)
		least, most := seconds(attribution.Errors)
		refuse(w, problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf(`want {"entity": NAME, "namespace": NAMESPACE or "", `+
			`"kind": "memory" (the default), "seconds": %d to %d}, or "errors" and %d to %d`, shortest, longest, least, most)})
		return
	}
	if e.desk == nil {
		refuse(w, problem{Status: http.StatusServiceUnavailable, Detail: "this collector has no attribution extension: add attribution to service::extensions"})
		return
	}
	subject, ok := e.desk.Find(q.Entity, q.Namespace)
	if !ok {
		refuse(w, problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("no entity %.80q that can be looked at is known here", q.Entity)})
		return
	}
	id, err := e.desk.Ask(attribution.Question{Subject: subject, Kind: q.Kind, Window: time.Duration(q.Seconds) * time.Second})
	if err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, attribution.ErrBusy) {
			status = http.StatusTooManyRequests
		}
		refuse(w, problem{Status: status, Detail: err.Error()})
		return
	}
	a, _ := e.desk.Answer(id)
	w.Header().Set("Location", "/v1/attributions/"+id)
	e.write(w, http.StatusAccepted, a)
}

// seconds are the shortest and the longest look that answers a question of a kind.
func seconds(k attribution.Kind) (shortest, longest int) {
	least, most := k.Bounds()
	return int(least / time.Second), int(most / time.Second)
}

// attributed tells what is known of an answer.
func (e *findingsExporter) attributed(w http.ResponseWriter, r *http.Request) {
	if a, ok := e.answered(w, r); ok {
		e.write(w, http.StatusOK, a)
	}
}

// profile is what is retained, for `go tool pprof`.
func (e *findingsExporter) profile(w http.ResponseWriter, r *http.Request) {
	a, ok := e.answered(w, r)
	switch {
	case !ok:
	case a.Profile == nil:
		refuse(w, problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no profile: the look is %s", a.State)})
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(a.Profile)
	}
}

func (e *findingsExporter) answered(w http.ResponseWriter, r *http.Request) (a attribution.Answer, ok bool) {
	if e.desk != nil {
		a, ok = e.desk.Answer(r.PathValue("id"))
	}
	if !ok {
		refuse(w, problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no attribution %.80q", r.PathValue("id"))})
	}
	return a, ok
}

func (e *findingsExporter) write(w http.ResponseWriter, status int, a attribution.Answer) {
	body, err := json.Marshal(a)
	if err != nil {
		refuse(w, problem{Status: http.StatusInternalServerError, Detail: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
