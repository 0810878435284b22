package findingsexporter

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

// handler serves the API that openapi.yaml describes.
func (e *findingsExporter) handler() http.Handler {
	mux := http.NewServeMux()
	plain := func(pattern string, h http.HandlerFunc) { mux.Handle("GET "+pattern, gzhttp.GzipHandler(h)) }
	plain("/v1/findings", e.list)
	plain("/v1/findings/{id}", e.one)
	mux.HandleFunc("GET /v1/findings/watch", e.watch)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem(w, http.StatusMethodNotAllowed, "everything here is read only: GET or HEAD")
			return
		}
		problem(w, http.StatusNotFound, "there are /v1/findings, /v1/findings/{id} and /v1/findings/watch")
	})
	return mux
}

func (e *findingsExporter) list(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	report := e.store.report(e.now(), q.matches)
	body, err := json.Marshal(report)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	// The time of the report alone is no change.
	report.GeneratedAt = time.Time{}
	content, err := json.Marshal(report)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, r, "application/json", body, content)
}

func (e *findingsExporter) one(w http.ResponseWriter, r *http.Request) {
	f, ok := e.store.get(r.PathValue("id"))
	if !ok {
		problem(w, http.StatusNotFound, fmt.Sprintf("there is no finding %.80q", r.PathValue("id")))
		return
	}
	body, err := json.Marshal(f)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, r, "application/json", body, body)
}

// answer sends a body, or 304 when the client has it already. content is what the ETag is made of.
func answer(w http.ResponseWriter, r *http.Request, kind string, body, content []byte) {
	h := fnv.New64a()
	_, _ = h.Write(content)
	// Weak: with gzip the bytes differ, the meaning does not.
	etag := fmt.Sprintf(`W/"%x"`, h.Sum64())
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	for _, known := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimSpace(known); known == "*" || known == etag || "W/"+known == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}

// problem answers with an error as RFC 9457 has it.
func problem(w http.ResponseWriter, status int, detail string) {
	body, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
