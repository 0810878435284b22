package source

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/your-org/tapio/internal/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const empty = `{"apiVersion":"tapio/v1","generatedAt":"2026-11-23T12:00:00Z","source":"collector","coverage":[],"summary":{"healthy":0,"warning":0,"critical":0},"findings":[]}`

// open returns the source of options; idle connections end with the test.
func open(t *testing.T, o Options, env map[string]string) Source {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	s, err := o.Open(func(k string) string { return env[k] })
	require.NoError(t, err)
	t.Cleanup(s.(*endpoint).client.CloseIdleConnections)
	return s
}

func answer(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		fmt.Fprint(w, body)
	}
}

// Every way in which an endpoint can fail has a message of its own, that says what to do.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"wants a token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "wants to know who asks (401): give a token with --token-file or TAPIO_TOKEN"},
		{"refuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "refuses (403)"},
		{"is no findings endpoint", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "answers, but has no findings: it is no findings endpoint"},
		{"breaks down", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			fmt.Fprint(w, `{"detail":"out of ink"}`)
		}, "answers 500 Internal Server Error: out of ink"},
		{"redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "answers 302 Found"},
		{"is a web page", answer("text/html", "<html>"), `answers with "text/html", want application/json`},
		{"says nothing of its kind", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil }, `answers with "", want application/json`},
		{"is garbage", answer("application/json", "{]"), "answers with something that is no findings: invalid character"},
		{"is cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		}, "cannot read findings: unexpected EOF"},
		{"is other JSON", answer("application/json", `{"status":"ok"}`), "field apiVersion is missing"},
		{"is of another version", answer("application/json", `{"apiVersion":"tapio/v2","findings":7}`), `speaks version "tapio/v2", this tapio speaks "tapio/v1": use a tapio of the collector's version`},
		{"is a list", answer("application/json", `[1]`), "something that is no findings: it is a list, want a map of fields"},
		{"has another form", answer("application/json", strings.Replace(empty, `"findings":[]`, `"findings":[{"confidence":"high"}]`, 1)), "something that is no findings: findings.confidence is text, want a number"},
		{"has a time of its own", answer("application/json", strings.Replace(empty, "2026-11-23T12:00:00Z", "noon", 1)), `something that is no findings: "noon" is no time such as 2026-11-23T12:00:00Z`},
		{"makes no sense", answer("application/json", strings.Replace(empty, `"findings":[]`, `"findings":[{"id":"x","kind":"guess"}]`, 1)), `kind is "guess", want prediction or diagnosis`},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			_, err := open(t, Options{Endpoint: server.URL}, nil).Report(t.Context(), Query{})
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, server.URL)
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	l.Close()
	_, err = open(t, Options{Endpoint: address}, nil).Report(t.Context(), Query{})
	assert.EqualError(t, err, "nothing answers at http://"+address+": is the collector running, and is this its findings endpoint?")
	_, err = open(t, Options{}, map[string]string{"TAPIO_ENDPOINT": "unix:///nonexistent/socket"}).Report(t.Context(), Query{})
	assert.EqualError(t, err, "nothing answers at unix:///nonexistent/socket: is the collector running, and is this its findings endpoint?")
	_, err = open(t, Options{Endpoint: "no-such-host.invalid:1"}, nil).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "no-such-host.invalid")
}

// Where nobody named an endpoint, and nothing names a cluster, both are said.
func TestNothingNamed(t *testing.T) {
	e := &endpoint{name: "http://localhost:4320", alone: errors.New("there is no kubeconfig: KUBECONFIG is \"/gone\"")}
	assert.ErrorContains(t, e.explain(syscall.ECONNREFUSED), `no collector answers on this machine (http://localhost:4320), and there is no kubeconfig: KUBECONFIG is "/gone"; start one with `)
}

// A peer that accepts and says nothing, or stops in the middle, is given up.
func TestTimeout(t *testing.T) {
	hang := make(chan struct{})
	for name, before := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the middle": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
		},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			before(w)
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}))
		_, err := open(t, Options{Endpoint: server.URL, Timeout: 200 * time.Millisecond}, nil).Report(t.Context(), Query{})
		assert.ErrorContains(t, err, "did not answer within 200ms", name)
		server.Close()
	}
	close(hang)
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(answer("application/json", empty))
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	_, err := open(t, Options{Endpoint: server.URL}, nil).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "unknown authority: name the one to trust with --ca-file")
	_, err = open(t, Options{Endpoint: server.URL, CAFile: ca}, nil).Report(t.Context(), Query{})
	assert.NoError(t, err)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	_, err = open(t, Options{Endpoint: "https://localhost:" + port, CAFile: ca}, nil).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "certificate that is not valid for it")

	plain := httptest.NewServer(answer("application/json", empty))
	defer plain.Close()
	_, err = open(t, Options{Endpoint: strings.Replace(plain.URL, "http:", "https:", 1)}, nil).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "does not speak TLS: try http://")

	strict := httptest.NewUnstartedServer(answer("application/json", empty))
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	strict.StartTLS()
	defer strict.Close()
	_, err = open(t, Options{Endpoint: strict.URL, CAFile: ca}, nil).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "--cert-file and --key-file")
}

// The token goes to the endpoint, from the file or the environment, and is in no message.
func TestToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(401)
			return
		}
		answer("application/json", empty)(w, r)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	_, err := open(t, Options{Endpoint: server.URL, TokenFile: file}, nil).Report(t.Context(), Query{})
	assert.NoError(t, err)
	_, err = open(t, Options{Endpoint: server.URL}, map[string]string{"TAPIO_TOKEN": "s3cret"}).Report(t.Context(), Query{})
	assert.NoError(t, err)
	_, err = open(t, Options{Endpoint: server.URL}, map[string]string{"TAPIO_TOKEN": "wr0ng"}).Report(t.Context(), Query{})
	assert.ErrorContains(t, err, "401")
	assert.NotContains(t, err.Error(), "wr0ng")
	for _, wrong := range []string{"two tokens", "tok\nen", "tok\x01en"} {
		_, err = Options{Timeout: time.Second}.Open(func(k string) string { return map[string]string{"TAPIO_TOKEN": wrong}[k] })
		assert.EqualError(t, err, "TAPIO_TOKEN does not hold one token")
	}
}

func TestUnixSocketAndQuery(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	asked := ""
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		answer("application/json", empty)(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	_, err = open(t, Options{Endpoint: "unix://" + socket}, nil).Report(t.Context(), Query{Namespace: "shop", Entity: "a&b", States: []finding.State{finding.Active, finding.Resolved}})
	require.NoError(t, err)
	assert.Equal(t, "/v1/findings?entity=a%26b&namespace=shop&state=active&state=resolved", asked)
}

// A watcher sees everything once, then what changes, and after a lost connection what it missed.
func TestWatchComesBack(t *testing.T) {
	var ids []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		if len(ids) == 1 {
			fmt.Fprintf(w, ": hello\n\nevent: report\nid: e-1\ndata: %s\n\n", empty)
			return // the connection is lost
		}
		fmt.Fprint(w, "event: news\nid: e-2\ndata: what a later version may send\n\n")
		fmt.Fprint(w, "event: finding\nid: e-3\ndata: "+`{"id":"x","kind":"diagnosis","pattern":"p","severity":"info","state":"active","title":"t","explanation":"e","entity":{"kind":"Node","name":"n"},"confidence":1,"evidence":[],"firstSeen":"2026-11-23T12:00:00Z","lastSeen":"2026-11-23T12:00:00Z"}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var seen []string
	err := open(t, Options{Endpoint: server.URL}, nil).Watch(ctx, Query{}, func(c Change) error {
		if c.Report != nil {
			seen = append(seen, "report")
			return nil
		}
		seen = append(seen, c.Finding.ID)
		cancel()
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"report", "x"}, seen)
	assert.Equal(t, []string{"", "e-1"}, ids)
}

// What cannot be watched at first fails at once; it is not tried for ever.
func TestWatchFailsAtFirst(t *testing.T) {
	for want, handler := range map[string]http.HandlerFunc{
		"no findings to watch":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"want text/event-stream": answer("application/json", empty),
		"ended the stream":       answer("text/event-stream", ""),
		"no findings: invalid":   answer("text/event-stream", "event: report\nid: 1\ndata: {]\n\n"),
		"speaks version":         answer("text/event-stream", "event: report\nid: 1\ndata: {\"apiVersion\":\"tapio/v9\"}\n\n"),
	} {
		server := httptest.NewServer(handler)
		err := open(t, Options{Endpoint: server.URL}, nil).Watch(t.Context(), Query{}, func(Change) error { return nil })
		assert.ErrorContains(t, err, want)
		server.Close()
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("event: report\nid: 1\ndata: {}\n\n")
	f.Add(": comment\n\nid:x\r\ndata\ndata: a\ndata:b\n\n\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		r := newEventReader(strings.NewReader(stream))
		for n := 0; ; n++ {
			ev, err := r.next()
			if err != nil {
				return
			}
			if n > len(stream) {
				t.Fatalf("more events than bytes")
			}
			if strings.ContainsAny(ev.id+ev.name, "\n") {
				t.Fatalf("a field spans lines: %q %q", ev.name, ev.id)
			}
			e := &endpoint{name: "x"}
			_, _ = e.change(ev)
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"localhost:4320", "https://[::1]:1/x", "unix:///a", "http://a b", "://", "http://u:p@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e := &endpoint{}
		if e.address(name, &http.Transport{}) != nil {
			return
		}
		if _, err := http.NewRequest(http.MethodGet, e.base+"/v1/findings", nil); err != nil {
			t.Fatalf("%q was taken as an endpoint, but cannot be asked: %v", name, err)
		}
	})
}
