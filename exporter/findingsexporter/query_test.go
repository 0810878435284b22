package findingsexporter

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

func TestFilters(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	prediction, diagnosis, ended, bare := findingtest.Prediction().ID, findingtest.Diagnosis().ID, findingtest.Ended().ID, findingtest.Bare().ID
	for query, want := range map[string][]string{
		"":                                             {diagnosis, prediction, bare}, // the worst first, what is there before what is predicted
		"?state=active":                                {diagnosis, prediction, bare},
		"?state=resolved":                              {ended},
		"?state=active,resolved":                       {diagnosis, prediction, bare, ended},
		"?state=active&state=resolved":                 {diagnosis, prediction, bare, ended},
		"?kind=prediction":                             {prediction},
		"?kind=diagnosis":                              {diagnosis, bare},
		"?severity=critical":                           {diagnosis, prediction},
		"?severity=warning":                            {},
		"?severity=warning&state=resolved":             {ended},
		"?severity=critical,info":                      {diagnosis, prediction, bare},
		"?pattern=oom-killed":                          {diagnosis},
		"?pattern=oom-kille":                           {},
		"?namespace=shop":                              {diagnosis, prediction},
		"?namespace=shop,other":                        {diagnosis, prediction},
		"?namespace=shop&pattern=nothing":              {},
		"?entity=api":                                  {diagnosis, prediction}, // the container
		"?entity=api-service-7d4":                      {diagnosis, prediction}, // the pod
		"?entity=api-service-7d4/api":                  {diagnosis, prediction},
		"?entity=api-service":                          {diagnosis, prediction}, // the owner
		"?entity=deployment%2Fapi-service":             {diagnosis, prediction},
		"?entity=statefulset%2Fapi-service":            {},
		"?entity=6a3f9b52-7d0b-4c44-8f0e-2f6f2c1c9f10": {diagnosis, prediction},
		"?entity=user.slice/session-1.scope":           {bare},
		"?entity=nginx.service&state=resolved":         {ended},
		"?entity=n1":                                   {}, // the node that it is on is not what it is about
	} {
		t.Run(query, func(t *testing.T) {
			answer, body := s.get("/v1/findings" + query)
			require.Equal(t, http.StatusOK, answer.StatusCode, "%s", body)
			var r finding.Report
			require.NoError(t, json.Unmarshal(body, &r))
			ids := []string{}
			for _, f := range r.Findings {
				ids = append(ids, f.ID)
			}
			assert.Equal(t, want, ids)
			assert.Equal(t, 1, r.Summary.Critical, "the summary speaks of all")
		})
	}
}

// Who asks about what is an effect of something is told the cause: it has no finding of its own.
func TestFiltersFindTheCause(t *testing.T) {
	s := serve(t, nil)
	api := &finding.Owner{Kind: "Deployment", Name: "api"}
	told := func(id string, of finding.Entity, affected ...finding.Entity) {
		f := findingtest.Bare()
		f.ID, f.Entity, f.Affected, f.AffectedTotal = id, of, affected, len(affected)
		s.tell(f)
	}
	told("node", finding.Entity{Kind: "Node", Name: "n1"}, finding.Entity{Kind: "Service", Namespace: "shop", Name: "web"}, finding.Entity{Kind: "Namespace", Name: "blog"})
	told("loop", finding.Entity{Kind: "Container", Namespace: "shop", Name: "api-1", Container: "app", Owner: api},
		finding.Entity{Kind: "Container", Namespace: "shop", Name: "api-2", Container: "app", UID: "u2", Owner: api})
	told("claim", finding.Entity{Kind: "Volume", Namespace: "shop", Name: "data"}, finding.Entity{Kind: "Pod", Namespace: "shop", Name: "db-0", Owner: &finding.Owner{Kind: "StatefulSet", Name: "db"}})
	told("deployment", finding.Entity{Kind: "Deployment", Namespace: "edge", Name: "proxy"})
	told("space", finding.Entity{Kind: "Namespace", Name: "old"})
	for query, want := range map[string][]string{
		"namespace=shop":                  {"claim", "loop", "node"},
		"namespace=blog":                  {"node"},
		"namespace=old":                   {"space"},
		"namespace=other":                 {},
		"namespace=blog&entity=svc/web":   {}, // one thing must be both
		"namespace=shop&entity=svc/web":   {"node"},
		"entity=services/web":             {"node"},
		"entity=n1":                       {"node"},
		"entity=no/n1":                    {"node"},
		"entity=node/n1":                  {"node"},
		"entity=api-2":                    {"loop"},
		"entity=pod/api-2":                {"loop"},
		"entity=api-2/app":                {"loop"},
		"entity=u2":                       {"loop"},
		"entity=deploy/api":               {"loop"},
		"entity=Deployment/api":           {"loop"},
		"entity=deployments.apps/api":     {"loop"},
		"entity=sts/db":                   {"claim"},
		"entity=pvc/data":                 {"claim"},
		"entity=deployment/proxy":         {"deployment"},
		"entity=deploy/proxy,pod/api-1":   {"deployment", "loop"},
		"entity=ns/old":                   {"space"},
		"entity=pod/api-3":                {},
		"entity=sts/api":                  {},
		"entity=pod/api-2&pattern=others": {},
	} {
		answer, body := s.get("/v1/findings?" + query)
		require.Equal(t, http.StatusOK, answer.StatusCode, "%s: %s", query, body)
		var r finding.Report
		require.NoError(t, json.Unmarshal(body, &r))
		ids := []string{}
		for _, f := range r.Findings {
			ids = append(ids, f.ID)
		}
		assert.ElementsMatch(t, want, ids, query)
	}
}

func TestProblemsNameTheParameterAndWhatItTakes(t *testing.T) {
	s := serve(t, nil)
	names := []string{"entity", "kind", "namespace", "pattern", "severity", "state"}
	for query, want := range map[string]problem{
		"colour=red": {Parameter: "colour", Allowed: names,
			Detail: "parameter colour is not known, want entity, kind, namespace, pattern, severity, state"},
		"Severity=critical": {Parameter: "Severity", Allowed: names,
			Detail: "parameter Severity is not known, want entity, kind, namespace, pattern, severity, state"},
		"severity=bad": {Parameter: "severity", Allowed: []string{"critical", "warning", "info"},
			Detail: `parameter severity is "bad", want critical, warning, info`},
		"severity=": {Parameter: "severity", Allowed: []string{"critical", "warning", "info"},
			Detail: `parameter severity is "", want critical, warning, info`},
		"kind=prediction,guess": {Parameter: "kind", Allowed: []string{"prediction", "diagnosis"},
			Detail: `parameter kind is "guess", want prediction, diagnosis`},
		"state=pending": {Parameter: "state", Allowed: []string{"active", "resolved"},
			Detail: `parameter state is "pending", want active, resolved`},
		"namespace=":  {Parameter: "namespace", Detail: "parameter namespace has an empty value; leave it out for all"},
		"entity=a,,b": {Parameter: "entity", Detail: "parameter entity has an empty value; leave it out for all"},
		"entity=" + strings.Repeat("x,", maxValues) + "x": {Parameter: "entity", Detail: "parameter entity has more than 100 values"},
		"state=%1b%5b31m": {Parameter: "state", Allowed: []string{"active", "resolved"},
			Detail: `parameter state is "\x1b[31m", want active, resolved`},
		"state=active;kind=prediction": {Detail: "the query cannot be read: invalid semicolon separator in query"},
		"state=%zz":                    {Detail: `the query cannot be read: invalid URL escape "%zz"`},
	} {
		t.Run(query[:min(len(query), 40)], func(t *testing.T) {
			for _, path := range []string{"/v1/findings?", "/v1/findings/watch?"} {
				answer, body := s.get(path + query)
				assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
				assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
				findingtest.Valid(t, "problem", body)
				var p problem
				require.NoError(t, json.Unmarshal(body, &p))
				want.Type, want.Title, want.Status = "about:blank", "Bad Request", http.StatusBadRequest
				assert.Equal(t, want, p)
			}
		})
	}
}

func TestNothingElseIsServed(t *testing.T) {
	s := serve(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allowed      string
	}{
		{http.MethodGet, "/", http.StatusNotFound, ""},
		{http.MethodGet, "/v1", http.StatusNotFound, ""},
		{http.MethodGet, "/v1/findings/", http.StatusNotFound, ""},
		{http.MethodGet, "/v2/findings", http.StatusNotFound, ""},
		{http.MethodGet, "/v1/findings/a/b", http.StatusNotFound, ""},
		{http.MethodPost, "/v1/findings", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodDelete, "/v1/findings/x", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPut, "/v1/findings/watch", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPut, "/v1/attributions", http.StatusMethodNotAllowed, "POST"},
		{http.MethodGet, "/v1/attributions", http.StatusMethodNotAllowed, "POST"},
		{http.MethodPost, "/v1/attributions/7", http.StatusMethodNotAllowed, "GET, HEAD"},
	} {
		answer := s.request(c.method, c.path)
		assert.Equal(t, c.status, answer.StatusCode, "%s %s", c.method, c.path)
		assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"), "%s %s", c.method, c.path)
		assert.Equal(t, c.allowed, answer.Header.Get("Allow"), "%s %s", c.method, c.path)
	}
}

// Who asks for what is not there is told every route that is, and so is who reads the README.
func TestRoutesAreNamed(t *testing.T) {
	s := serve(t, nil)
	doc, _ := api(t, s)
	_, body := s.get("/v1/nothing")
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for path, item := range doc.Paths.Map() {
		assert.Regexp(t, regexp.QuoteMeta(path)+`[ ,"]`, string(body))
		for method := range item.Operations() {
			assert.Regexp(t, "`"+method+" ("+regexp.QuoteMeta(path)+"`|/v1/schema`, `"+regexp.QuoteMeta(path)+"`)", string(readme))
		}
	}
}

// FuzzParseQuery: a query is taken or refused by the name of a parameter; what is taken asks for known values only.
func FuzzParseQuery(f *testing.F) {
	for _, q := range []string{"", "state=active,resolved&kind=prediction", "severity=bad", "entity=a/b&entity=c", "=&=", "namespace=%00", "state", "a;b", "%zz",
		"entity=" + strings.Repeat(",", 200)} {
		f.Add(q)
	}
	samples := findingtest.Samples()
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, wrong := parseQuery(values)
		if wrong != nil {
			require.Contains(t, values, wrong.name)
			require.NotEmpty(t, wrong.Error())
			require.Nil(t, q)
			return
		}
		for name, p := range parameters {
			chosen := *p.of(q)
			require.Equal(t, len(values[name]) == 0, len(chosen) == 0)
			require.LessOrEqual(t, len(chosen), maxValues)
			for _, v := range chosen {
				require.NotEmpty(t, v)
				require.True(t, p.allowed == nil || slices.Contains(p.allowed, v))
			}
		}
		for i := range samples {
			if q.matches(&samples[i]) && q.namespace != nil {
				spaces := []string{samples[i].Entity.Namespace}
				for _, e := range samples[i].Affected {
					spaces = append(spaces, e.Namespace)
				}
				require.True(t, slices.ContainsFunc(q.namespace, func(name string) bool { return slices.Contains(spaces, name) }))
			}
		}
	})
}
