package findingsexporter

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// api loads the OpenAPI document as a client does: from where it is served, references followed.
func api(t *testing.T, s *served) (*openapi3.T, routers.Router) {
	t.Helper()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, at *url.URL) ([]byte, error) {
		answer, body := s.get(at.Path)
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("GET %s: %s", at, answer.Status)
		}
		return body, nil
	}
	at, err := url.Parse(s.url + "/v1/openapi.yaml")
	require.NoError(t, err)
	doc, err := loader.LoadFromURI(at)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	doc.InternalizeRefs(t.Context(), nil) // the checks of answers do not follow references from file to file
	require.NoError(t, doc.Validate(t.Context()))
	doc.Servers = openapi3.Servers{{URL: s.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	return doc, router
}

func TestEveryAnswerFollowsTheOpenAPIDocument(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxWatchers = 0 })
	doc, router := api(t, s)
	s.tell(findingtest.Samples()...)
	s.tellStatus(findingtest.Status())
	s.tellStatus(finding.Status{})
	_, all := s.get("/v1/findings")
	hostile := findingtest.Bare()
	hostile.ID, hostile.Title, hostile.Entity.Name = findingtest.Hostile, findingtest.Hostile, findingtest.Hostile
	s.tell(hostile)

	seen := map[string]bool{}
	for _, c := range []struct {
		path   string
		header []string
		status int
		def    string // of the schema
	}{
		{path: "/v1/findings", status: 200, def: "report"},
		{path: "/v1/findings?state=active,resolved", status: 200, def: "report"},
		{path: "/v1/findings?kind=prediction,diagnosis&severity=critical&pattern=memory-exhaustion,x&namespace=shop&entity=api", status: 200, def: "report"},
		{path: "/v1/findings?namespace=nothing-there", status: 200, def: "report"},
		{path: "/v1/findings", header: []string{"If-None-Match", "*"}, status: 304},
		{path: "/v1/findings?severity=bad", status: 400, def: "problem"},
		{path: "/v1/findings?colour=red", status: 400, def: "problem"},
		{path: "/v1/findings?" + url.QueryEscape(findingtest.Hostile) + "=1", status: 400, def: "problem"},
		{path: "/v1/findings?state=%zz", status: 400, def: "problem"},
		{path: "/v1/findings/" + findingtest.Prediction().ID, status: 200, def: "finding"},
		{path: "/v1/findings/" + findingtest.Diagnosis().ID, status: 200, def: "finding"},
		{path: "/v1/findings/" + findingtest.Ended().ID, status: 200, def: "finding"},
		{path: "/v1/findings/" + findingtest.Bare().ID, status: 200, def: "finding"},
		{path: "/v1/findings/" + findingtest.Bare().ID, header: []string{"If-None-Match", "*"}, status: 304},
		{path: "/v1/findings/" + url.PathEscape(findingtest.Hostile), status: 200, def: "finding"},
		{path: "/v1/findings/none", status: 404, def: "problem"},
		{path: "/v1/findings/" + url.PathEscape("\x1b[31m\u009b"), status: 404, def: "problem"},
		{path: "/v1/findings/watch", status: 503, def: "problem"},
		{path: "/v1/findings/watch?kind=guess", status: 400, def: "problem"},
		{path: "/v1/schema", status: 200},
		{path: "/v1/schema", header: []string{"If-None-Match", "*"}, status: 304},
		{path: "/v1/schema.json", status: 200},
		{path: "/v1/schema.json", header: []string{"If-None-Match", "*"}, status: 304},
		{path: "/v1/openapi.yaml", status: 200},
		{path: "/v1/openapi.yaml", header: []string{"If-None-Match", "*"}, status: 304},
	} {
		name := fmt.Sprintf("%d %.60s", c.status, c.path)
		answer, body := s.get(c.path, c.header...)
		require.Equal(t, c.status, answer.StatusCode, name)
		if c.def != "" {
			findingtest.Valid(t, c.def, body)
		}
		route, params, err := router.FindRoute(answer.Request)
		require.NoError(t, err, name)
		seen[fmt.Sprint(route.Path, " ", answer.StatusCode)] = true
		in := &openapi3filter.RequestValidationInput{Request: answer.Request, PathParams: params, Route: route,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if c.status < 400 {
			require.NoError(t, openapi3filter.ValidateRequest(t.Context(), in), name)
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.StatusCode, Header: answer.Header,
			Body: io.NopCloser(bytes.NewReader(body)), Options: in.Options}
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out), name)
		if c.def != "" { // the checks can fail, deep within
			wrong := bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(`"healthy":`), []byte(`"wealthy":`)), []byte(`"title":`), []byte(`"little":`))
			require.Error(t, openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(wrong)), name)
		}
	}

	for path, item := range doc.Paths.Map() {
		if strings.HasPrefix(path, "/v1/attributions") {
			continue // see TestAttribution
		}
		for status := range item.Get.Responses.Map() {
			// 401 is tested with auth, 421 with other hosts, the watch's stream by itself.
			if status != "401" && status != "421" && path+" "+status != "/v1/findings/watch 200" {
				assert.True(t, seen[path+" "+status], "%s %s is documented, but was not answered here", path, status)
			}
		}
	}
	assert.NotContains(t, string(all), "\x1b")
}

// found is a desk with an answer that has every kind of what can be found out.
type found struct{ answers }

func (found) Answer(string) (attribution.Answer, bool) {
	var sites []attribution.Site
	for _, kind := range []string{"heap", "goroutines", attribution.Objects} {
		sites = append(sites, attribution.Site{Grade: attribution.Retained, Kind: kind, Function: "main.cache", File: "cache.go", Line: 7, Callers: []string{"main.main"}, Handler: "main.users",
			Route: "GET /users/{id}", Holder: "map[string][]byte", Of: "[]byte", Users: []string{"main.put"}, Blocked: []string{"chan receive"}, BytesPerMinute: 1, Share: 1, Objects: 1})
	}
	return attribution.Answer{ID: "7", Kind: attribution.Memory, State: attribution.Done, Subject: "api", Asked: findingtest.Now, Began: findingtest.Now, Ended: findingtest.Now, Text: "held", Reason: "r",
		Sites: sites, Failures: []attribution.Failure{{Syscall: "openat", Error: "EMFILE", Count: 1, Process: "api", PID: 1, Cgroup: "/api"}}}, true
}

// An answer about who holds memory follows the document, and has no field that the document does not name.
func TestAttributionFollowsTheOpenAPIDocument(t *testing.T) {
	s := serve(t, nil)
	s.desk = &found{}
	doc, router := api(t, s)
	answer, body := s.get("/v1/attributions/7")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	route, params, err := router.FindRoute(answer.Request)
	require.NoError(t, err)
	in := &openapi3filter.RequestValidationInput{Request: answer.Request, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.StatusCode, Header: answer.Header}
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(body)))
	require.Error(t, openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(bytes.ReplaceAll(body, []byte(`"objects",`), []byte(`"objets",`)))))

	documented := doc.Paths.Find("/v1/attributions/{id}").Get.Responses.Status(http.StatusOK).Value.Content.Get("application/json").Schema.Value
	for of, properties := range map[reflect.Type]openapi3.Schemas{reflect.TypeFor[attribution.Answer](): documented.Properties,
		reflect.TypeFor[attribution.Site]():    documented.Properties["sites"].Value.Items.Value.Properties,
		reflect.TypeFor[attribution.Failure](): documented.Properties["failures"].Value.Items.Value.Properties} {
		var fields []string
		for i := range of.NumField() {
			if field, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); field != "-" {
				fields = append(fields, field)
			}
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(properties)), fields, of.Name())
	}
}

// The shortest and longest look that the document names are those that are taken.
func TestLooksAreDocumented(t *testing.T) {
	doc, _ := api(t, serve(t, nil))
	asked := doc.Paths.Find("/v1/attributions").Post.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties["seconds"].Value
	shortest, longest := seconds(attribution.Memory)
	least, most := seconds(attribution.Errors)
	assert.Equal(t, fmt.Sprintf("How long to look: %d to %d for memory, %d to %d for errors", shortest, longest, least, most), asked.Description)
	assert.EqualValues(t, min(shortest, least), *asked.Min)
	assert.EqualValues(t, max(longest, most), *asked.Max)
}

// What the query takes and what the document says is the same, names and values.
func TestParametersAreDocumented(t *testing.T) {
	doc, _ := api(t, serve(t, nil))
	for _, path := range []string{"/v1/findings", "/v1/findings/watch"} {
		documented := map[string][]string{}
		for _, p := range doc.Paths.Find(path).Get.Parameters {
			if p.Value.In == openapi3.ParameterInQuery {
				var allowed []string
				for _, v := range p.Value.Schema.Value.Items.Value.Enum {
					allowed = append(allowed, v.(string))
				}
				documented[p.Value.Name] = allowed
				assert.EqualValues(t, maxValues, *p.Value.Schema.Value.MaxItems)
			}
		}
		taken := map[string][]string{}
		for name, p := range parameters {
			taken[name] = p.allowed
		}
		assert.Equal(t, taken, documented, path)
	}
}

func TestProblemHasExactlyTheFieldsOfTheSchema(t *testing.T) {
	def := findingtest.Document(t)["$defs"].(map[string]any)["problem"].(map[string]any)
	var fields, always, properties []string
	of := reflect.TypeFor[problem]()
	for i := range of.NumField() {
		field, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if fields = append(fields, field); options == "" {
			always = append(always, field)
		}
	}
	for p := range def["properties"].(map[string]any) {
		properties = append(properties, p)
	}
	slices.Sort(fields)
	slices.Sort(properties)
	assert.Equal(t, fields, properties)
	for _, name := range always {
		assert.Contains(t, def["required"], name)
	}
}

func TestDocumentsAreServedAsTheyAre(t *testing.T) {
	s := serve(t, nil)
	for path, want := range map[string]struct {
		kind string
		body []byte
	}{
		"/v1/schema":       {"application/schema+json", finding.Schema},
		"/v1/schema.json":  {"application/schema+json", finding.Schema},
		"/v1/openapi.yaml": {"application/yaml", finding.OpenAPI},
	} {
		answer, body := s.get(path)
		assert.Equal(t, want.kind, answer.Header.Get("Content-Type"))
		assert.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
		assert.Equal(t, string(want.body), string(body))
	}
}
