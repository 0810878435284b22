package findingsexporter

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/klauspost/compress/gzhttp"

	"github.com/your-org/tapio/internal/finding"
)

// handler serves the API that internal/finding/openapi.yaml describes.
func (e *findingsExporter) handler() http.Handler {
	mux := http.NewServeMux()
	zipped := func(path string, h http.HandlerFunc) { mux.Handle("GET "+path, gzhttp.GzipHandler(h)) }
	zipped("/v1/findings", e.list)
	zipped("/v1/findings/{id}", e.one)
	zipped("/v1/schema", document("application/schema+json", finding.Schema))
	zipped("/v1/schema.json", document("application/schema+json", finding.Schema))
	zipped("/v1/openapi.yaml", document("application/yaml", finding.OpenAPI))
	mux.HandleFunc("GET /v1/findings/watch", e.watch)
	mux.HandleFunc("POST /v1/attributions", e.ask)
	mux.HandleFunc("GET /v1/attributions/{id}", e.attributed)
	mux.HandleFunc("GET /v1/attributions/{id}/pprof", e.profile)
	mux.HandleFunc("/v1/attributions", only("POST", "questions are asked with POST"))
	mux.HandleFunc("/", nothing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// only answers a request by a method that a route does not have.
func only(allowed, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allowed)
		refuse(w, problem{Status: http.StatusMethodNotAllowed, Detail: detail})
	}
}

// nothing answers where nothing is served.
func nothing(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		only("GET, HEAD", "what is here can be read only: GET or HEAD")(w, r)
		return
	}
	refuse(w, problem{Status: http.StatusNotFound, Detail: "there are /v1/findings, /v1/findings/{id}, /v1/findings/watch, /v1/attributions, " +
		"/v1/attributions/{id}, /v1/attributions/{id}/pprof, /v1/schema, /v1/schema.json and /v1/openapi.yaml"})
}

func (e *findingsExporter) list(w http.ResponseWriter, r *http.Request) {
	q, ok := readQuery(w, r)
	if !ok {
		return
	}
	if q.state == nil {
		q.state = []string{string(finding.Active)}
	}
	doc, err := e.store.report(e.now(), q.matches)
	if err != nil {
		refuse(w, problem{Status: http.StatusInternalServerError, Detail: err.Error()})
		return
	}
	answer(w, r, "application/json", doc.hash, doc.parts...)
}

// readQuery reads the filters of a request, or answers that they are wrong.
func readQuery(w http.ResponseWriter, r *http.Request) (*query, bool) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("the query cannot be read: %.200v", err)})
		return nil, false
	}
	q, wrong := parseQuery(values)
	if wrong != nil {
		refuse(w, problem{Status: http.StatusBadRequest, Detail: wrong.Error(), Parameter: wrong.name, Allowed: wrong.allowed})
		return nil, false
	}
	return q, true
}

func (e *findingsExporter) one(w http.ResponseWriter, r *http.Request) {
	body, ok := e.store.get(r.PathValue("id"))
	if !ok {
		refuse(w, problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no finding %.80q", r.PathValue("id"))})
		return
	}
	answer(w, r, "application/json", hash(body), body)
}

// document serves something that never changes.
func document(kind string, body []byte) http.HandlerFunc {
	sum := hash(body)
	return func(w http.ResponseWriter, r *http.Request) { answer(w, r, kind, sum, body) }
}
