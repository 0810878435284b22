package forecastcmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/jsontext"
)

const (
	// maxAnswer bounds an answer of Prometheus, in bytes; maxSeries how many series are looked at.
	maxAnswer, maxSeries = 256 << 20, 5000
	// maxPoints is how many points of a series Prometheus gives in one answer (11,000), with some room.
	maxPoints = 10000
)

// labels are what names a series.
type labels map[string]string

func (l labels) String() string {
	var b strings.Builder
	b.WriteString(l["__name__"] + "{")
	for i, k := range slices.Sorted(maps.Keys(l)) {
		if k != "__name__" {
			fmt.Fprintf(&b, "%s=%q", k, l[k])
			if i < len(l)-1 {
				b.WriteString(",")
			}
		}
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

// shared is how many labels both have with the same value, or −1 when they differ in one that both have.
func (l labels) shared(m labels) (n int) {
	for k, v := range l {
		if w, ok := m[k]; ok && k != "__name__" {
			if v != w {
				return -1
			}
			n++
		}
	}
	return n
}

// point is one value of a series.
type point struct {
	t, v float64 // seconds since 1970
}

type series struct {
	labels labels
	points []point
}

// at is the latest value at or before t that is not older than five minutes, as Prometheus itself looks back.
func (s *series) at(t float64) (float64, bool) {
	i, found := slices.BinarySearchFunc(s.points, t, func(p point, t float64) int {
		switch {
		case p.t < t:
			return -1
		case p.t > t:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 || t-s.points[i].t > 300 {
		return 0, false
	}
	return s.points[i].v, true
}

// history is where to ask, and for which time.
type history struct {
	client     *http.Client
	url        string
	start, end time.Time
	step       time.Duration
}

// series returns what a query yields over the time asked for, in as many requests as that needs.
func (h *history) series(ctx context.Context, query string) ([]series, error) {
	base, err := url.Parse(h.url)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("--prometheus is %q, want a URL such as http://localhost:9090", h.url)
	}
	base = base.JoinPath("api/v1/query_range")
	byName := map[string]*series{}
	for from := h.start; !from.After(h.end); from = from.Add(maxPoints * h.step) {
		to := from.Add((maxPoints - 1) * h.step)
		if to.After(h.end) {
			to = h.end
		}
		part, err := h.ask(ctx, base, query, from, to)
		if err != nil {
			return nil, fmt.Errorf("ask %s for %s: %w", base.Redacted(), query, err)
		}
		for _, s := range part {
			name := s.labels.String()
			if had := byName[name]; had != nil {
				had.points = append(had.points, s.points...)
			} else if len(byName) < maxSeries {
				byName[name] = &s
			} else {
				return nil, fmt.Errorf("%s yields more than %d series: narrow it down", query, maxSeries)
			}
		}
	}
	var out []series
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out, nil
}

func (h *history) ask(ctx context.Context, base *url.URL, query string, from, to time.Time) ([]series, error) {
	form := url.Values{"query": {query}, "start": {seconds(from)}, "end": {seconds(to)},
		"step": {strconv.FormatFloat(h.step.Seconds(), 'f', -1, 64)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     []struct {
				Metric labels
				Values [][2]json.RawMessage
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("HTTP %s, and no answer of Prometheus: %w", resp.Status, jsontext.Explain(err))
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("HTTP %s: %s", resp.Status, cmp.Or(answer.Error, "no answer of Prometheus"))
	}
	if answer.Data.ResultType != "matrix" {
		return nil, fmt.Errorf("it yields a %s, want a matrix", answer.Data.ResultType)
	}
	var out []series
	for _, r := range answer.Data.Result {
		s := series{labels: r.Metric}
		for _, v := range r.Values {
			p, err := decode(v)
			if err != nil {
				return nil, fmt.Errorf("value of %s: %w", r.Metric, err)
			}
			s.points = append(s.points, p)
		}
		out = append(out, s)
	}
	return out, nil
}

// decode reads a value as Prometheus writes it: [1435781451.781, "1"].
func decode(v [2]json.RawMessage) (p point, err error) {
	var text string
	if err := json.Unmarshal(v[0], &p.t); err != nil {
		return p, fmt.Errorf("time: %w", jsontext.Explain(err))
	}
	if err := json.Unmarshal(v[1], &text); err != nil {
		return p, jsontext.Explain(err)
	}
	p.v, err = strconv.ParseFloat(text, 64)
	return p, err
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// matching is the series that has the most labels in common with those, none of them with another value.
func matching(all []series, l labels) *series {
	var best *series
	most := -1
	for i := range all {
		if n := all[i].labels.shared(l); n > most {
			best, most = &all[i], n
		}
	}
	if most < 1 && len(all) != 1 { // one series without labels, such as a constant, holds for all
		return nil
	}
	return best
}
