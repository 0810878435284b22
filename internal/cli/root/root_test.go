package root

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when all these tests are run.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// serve serves a report as a findings endpoint does; test/e2e asks a real one.
func serve(t *testing.T, r finding.Report) string {
	t.Helper()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(v))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/findings", func(w http.ResponseWriter, req *http.Request) {
		r := r
		var fs []finding.Finding
		states, entity, namespace := req.URL.Query()["state"], req.URL.Query().Get("entity"), req.URL.Query().Get("namespace")
		for _, f := range r.Findings {
			wanted := f.State == finding.Active
			for _, s := range states {
				wanted = wanted || string(f.State) == s
			}
			if wanted && (entity == "" || f.Entity.Display() == entity || f.Entity.Name == entity) && (namespace == "" || f.Entity.Namespace == namespace) {
				fs = append(fs, f)
			}
		}
		r.Findings = append([]finding.Finding{}, fs...)
		answer(w, r)
	})
	mux.HandleFunc("GET /v1/findings/{id}", func(w http.ResponseWriter, req *http.Request) {
		for _, f := range r.Findings {
			if f.ID == req.PathValue("id") {
				answer(w, f)
				return
			}
		}
		http.NotFound(w, req)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// run runs tapio as a user does, and returns all that they see.
func run(t *testing.T, env map[string]string, change func(*cli.Env), args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	e := cli.Env{In: strings.NewReader(""), Out: &out, ErrOut: &errOut, Getenv: func(k string) string { return env[k] }, Now: func() time.Time { return now }}
	if change != nil {
		change(&e)
	}
	status = Run(t.Context(), e, append([]string{"tapio"}, args...))
	return out.String(), errOut.String(), status
}

// load reads a report from testdata.
func load(t *testing.T, name string) finding.Report {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	var r finding.Report
	require.NoError(t, json.Unmarshal(b, &r))
	for _, f := range r.Findings {
		require.NoError(t, f.Validate())
	}
	return r
}

// Everything that is printed, for every kind of report.
func TestOutput(t *testing.T) {
	colour := func(e *cli.Env) { e.Terminal, e.Color, e.Width = true, true, 80 }
	for _, c := range []struct {
		name, report string
		args         []string
		env          func(*cli.Env)
		status       int
	}{
		{name: "check-healthy", report: "healthy", args: []string{"check"}},
		{name: "check-blind", report: "blind", args: []string{"check"}, status: 2},
		{name: "check-blind-one", report: "blind", args: []string{"check", "api"}, status: 2},
		{name: "check-blind-namespace", report: "blind", args: []string{"check", "-n", "shop"}, status: 2},
		{name: "check-blind-junit", report: "blind", args: []string{"check", "-o", "junit"}, status: 2},
		{name: "check-nothing", report: "nothing", args: []string{"check"}},
		{name: "check-troubled", report: "troubled", args: []string{"check"}, status: 1},
		{name: "check-troubled-wide", report: "troubled", args: []string{"check", "-o", "wide"}, status: 1},
		{name: "check-troubled-colour", report: "troubled", args: []string{"check"}, env: colour, status: 1},
		{name: "check-troubled-json", report: "troubled", args: []string{"check", "-o", "json"}, status: 1},
		{name: "check-troubled-yaml", report: "troubled", args: []string{"check", "-o", "yaml"}, status: 1},
		{name: "check-one", report: "troubled", args: []string{"check", "billing.service"}},
		{name: "check-one-since", report: "troubled", args: []string{"check", "billing.service", "--since", "2m"}},
		{name: "check-one-exclude", report: "troubled", args: []string{"check", "billing.service", "--exclude", "memory-pressure"}},
		{name: "check-namespace-both", report: "troubled", args: []string{"check", "-n", "shop", "--since", "1m", "--exclude", "oom-killed", "--exclude", "memory-pressure"}},
		{name: "check-unknown", report: "troubled", args: []string{"check", "other"}},
		{name: "check-namespace", report: "troubled", args: []string{"check", "-n", "shop"}, status: 1},
		{name: "check-fail-on-warning", report: "troubled", args: []string{"check", "billing.service", "--fail-on", "warning"}, status: 1},
		{name: "check-fail-on-never", report: "troubled", args: []string{"check", "--fail-on", "never"}},
		{name: "check-troubled-junit", report: "troubled", args: []string{"check", "-o", "junit"}, status: 1},
		{name: "check-healthy-junit", report: "healthy", args: []string{"check", "-o", "junit"}},
		{name: "check-hostile-junit", report: "hostile", args: []string{"check", "-o", "junit", "--fail-on", "warning"}, status: 1},
		{name: "check-exclude", report: "troubled", args: []string{"check", "--exclude", "memory-exhaustion", "--exclude", "oom-killed"}},
		{name: "check-since", report: "troubled", args: []string{"check", "--since", "2m"}, status: 1},
		{name: "check-hostile", report: "hostile", args: []string{"check", "-o", "wide"}, env: colour, status: 1},
		{name: "why-prediction", report: "troubled", args: []string{"why", "api-service"}},
		{name: "why-diagnosis", report: "troubled", args: []string{"why", "c8351401078c735f"}},
		{name: "why-over", report: "troubled", args: []string{"why", "0f0f0f0f0f0f0f0f"}},
		{name: "why-json", report: "troubled", args: []string{"why", "c8351401078c735f", "-o", "json"}},
		{name: "why-colour", report: "troubled", args: []string{"why", "api-service"}, env: colour},
		{name: "why-hostile", report: "hostile", args: []string{"why", "0123456789abcdef"}, env: colour},
		{name: "why-unknown", report: "troubled", args: []string{"why", "other"}, status: 2},
		{name: "check-learning", report: "healthy", args: []string{"check", "cgroup/young"}},
		{name: "why-learning-kind", report: "healthy", args: []string{"why", "cgroup/young"}, status: 2},
		{name: "why-learning", report: "healthy", args: []string{"why", "young"}, status: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := serve(t, load(t, c.report))
			stdout, stderr, status := run(t, map[string]string{"TAPIO_ENDPOINT": address}, c.env, c.args...)
			assert.Equal(t, c.status, status)
			golden(t, c.name, fmt.Sprintf("$ tapio %s\n%s%s[exit status %d]\n", strings.Join(c.args, " "), strings.ReplaceAll(stdout, address, "http://collector"), strings.ReplaceAll(stderr, address, "http://collector"), status))
		})
	}
}

// No text of others drives the terminal, or ends the output, in any form.
func TestHostileText(t *testing.T) {
	const evil = "\u009b2J\u009d0;forged\u009c\u007f\u0085\x1b[2J\u202egnp"
	report := load(t, "hostile")
	f := &report.Findings[0]
	f.Title, f.Explanation, f.Entity.Name, f.Evidence[0].Text = evil, evil, "evil", evil
	address := serve(t, report)
	for _, output := range []string{"check -o text", "check -o wide", "check -o junit", "check -o json", "check -o yaml", "why evil -o text", "why evil -o json", "why evil -o yaml"} {
		stdout, stderr, _ := run(t, map[string]string{"TAPIO_ENDPOINT": address}, nil, strings.Fields(output)...)
		assert.NotEmpty(t, stdout, "%s: %s", output, stderr)
		for _, r := range strings.ReplaceAll(stdout, "\n", "") {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) && !strings.HasSuffix(output, "yaml") {
				t.Errorf("%s: prints %U", output, r)
			}
		}
		var same any
		switch {
		case strings.HasSuffix(output, "json"):
			require.NoError(t, json.Unmarshal([]byte(stdout), &same))
		case strings.HasSuffix(output, "yaml"):
			require.NoError(t, yaml.Unmarshal([]byte(stdout), &same))
		default:
			continue
		}
		assert.Contains(t, fmt.Sprint(same), evil, output)
	}
}

// What people can get wrong on the command line, and what they are told.
func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "-o", "xml"}, `--output is "xml", want one of text, wide, json, yaml, junit`},
		{[]string{"check", "--since", "yesterday"}, `--since is "yesterday", want a duration such as 30m, 2h or 1d, or a time such as 2026-11-23T12:00:00Z`},
		{[]string{"check", "--since", "-5m"}, `--since is "-5m", want a duration`},
		{[]string{"check", "--explain", "crash"}, `there is no pattern "crash": did you mean crash-loop?; ` + "`tapio patterns` lists them"},
		{[]string{"patterns", "nonsense"}, `there is no pattern "nonsense"; ` + "`tapio patterns` lists them"},
		{[]string{"patterns", "-o", "junit"}, `--output is "junit", want one of text, wide, json, yaml`},
		{[]string{"check", "--context", "a", "--endpoint", "localhost:1"}, `--endpoint is a collector's, --kubeconfig, --context and --selector are for an API server`},
		{[]string{"check", "-w", "-o", "junit"}, "--watch goes with -o text, wide or json"},
		{[]string{"check", "--fail-on", "sometimes"}, `--fail-on is "sometimes", want one of critical, warning, info, never`},
		{[]string{"check", "pod", "api"}, "want one entity, not 2; a kind and a name are written as pod/api"},
		{[]string{"check", "-n", "x", "-A"}, "if any flags in the group [namespace all-namespaces] are set none of the others can be"},
		{[]string{"check", "-w", "-o", "yaml"}, "--watch goes with -o text, wide or json"},
		{[]string{"check", "--endpoint", "ftp://x"}, `--endpoint is "ftp://x": want host:port, http://host:port, https://host:port or unix:///path`},
		{[]string{"check", "--token-file", "/nonexistent"}, "--token-file: open /nonexistent: no such file or directory"},
		{[]string{"check", "--ca-file", "root_test.go"}, "--ca-file: root_test.go holds no PEM certificate"},
		{[]string{"check", "--cert-file", "x"}, "--cert-file and --key-file go together"},
		{[]string{"check", "--request-timeout", "0s"}, "--request-timeout is 0s, want more than 0"},
		{[]string{"why"}, "want an entity, or the id of a finding; `tapio check` shows those there are"},
		{[]string{"why", "pod", "api"}, "want one entity, not 2; a kind and a name are written as pod/api"},
		{[]string{"prometheus", "--port", "70000"}, "--port is 70000, want 0 to 65535"},
		{[]string{"version", "-o", "yaml"}, `--output is "yaml", want one of text, json`},
		{[]string{"chekc"}, `unknown command "chekc" for "tapio": did you mean check?`},
		{[]string{"check", "--request-timeout", "5"}, `--request-timeout is "5", want a duration such as 30s, 5m or 72h`},
		{[]string{"check", "--watch=often"}, `--watch is "often", want true or false`},
		{[]string{"prometheus", "--port", "http"}, `--port is "http", want a whole number`},
		{[]string{"forecast", "--limit", "1Gi"}, `--limit is "1Gi", want a number`},
		{[]string{"forecast", "--range", "3d"}, `--range is "3d", want a duration such as 30s, 5m or 72h`},
		{[]string{"api"}, "unknown command \"api\" for \"tapio\"; `tapio --help` lists those there are"},
		{[]string{"check", ""}, "the entity's name is empty"},
		{[]string{"why", ""}, "the entity's name is empty"},
		{[]string{"check", "--explain", "crash-loop", "-o", "junit"}, "--explain goes with -o text, wide, json or yaml, and with no entity"},
		{[]string{"check", "api", "--explain", "crash-loop"}, "--explain goes with -o text, wide, json or yaml, and with no entity"},
		{[]string{"check", "--explain", ""}, `there is no pattern ""`},
	} {
		stdout, stderr, status := run(t, nil, nil, c.args...)
		assert.Equal(t, 2, status, "%v", c.args)
		assert.Empty(t, stdout, "%v", c.args)
		assert.Contains(t, stderr, "tapio: "+c.want, "%v", c.args)
	}
}

// Each flag is explained, and what it takes has a name of one word.
func TestHelp(t *testing.T) {
	e := cli.Env{Getenv: func(string) string { return "" }, Now: time.Now}
	for _, cmd := range New(e, "tapio").Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			takes, usage := pflag.UnquoteUsage(f)
			assert.NotEmpty(t, usage, "%s --%s", cmd.Name(), f.Name)
			assert.NotContains(t, takes, " ", "%s --%s", cmd.Name(), f.Name)
		})
	}
}

func TestVersionAndCompletion(t *testing.T) {
	stdout, _, status := run(t, nil, nil, "version")
	assert.Equal(t, 0, status)
	assert.Regexp(t, `^tapio \d+\.\d+\.\d+ \(commit \S+, collector v\S+/v\S+, go \S+, \S+\)\n$`, stdout)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, _, status := run(t, nil, nil, "completion", shell)
		assert.Equal(t, 0, status, shell)
		assert.Contains(t, stdout, "tapio", shell)
	}
	stdout, _, _ = run(t, nil, nil, "__complete", "check", "--fail-on", "")
	assert.Equal(t, "critical\nwarning\ninfo\nnever\n:4\n", stdout)
	for _, command := range []string{"check", "why"} {
		stdout, _, _ = run(t, nil, nil, "__complete", command, "")
		assert.Equal(t, ":4\n", stdout, "an entity is no file")
	}
}

// Where the catalogue is to be found; patternscmd tests what it says.
func TestPatterns(t *testing.T) {
	stdout, _, status := run(t, nil, nil, "patterns", "-o", "json")
	assert.Equal(t, 0, status)
	var all []struct{ Name, Kind, Summary string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &all))
	files, err := filepath.Glob("../../../patterns/*.yaml")
	require.NoError(t, err)
	assert.Len(t, all, len(files))
	page, _, status := run(t, nil, nil, "check", "--explain", "crash-loop")
	assert.Equal(t, 0, status)
	same, _, _ := run(t, nil, nil, "patterns", "crash-loop")
	assert.Equal(t, page, same)
	yaml, _, status := run(t, nil, nil, "check", "--explain", "crash-loop", "-o", "yaml")
	assert.Equal(t, 0, status)
	assert.Contains(t, yaml, "\nname: crash-loop\n")
	stdout, _, _ = run(t, nil, nil, "__complete", "check", "--exclude", "crash")
	assert.Contains(t, stdout, "crash-loop\n")
}

// As a kubectl plugin it calls itself what the user typed.
func TestKubectlPlugin(t *testing.T) {
	var out bytes.Buffer
	e := cli.Env{In: strings.NewReader(""), Out: &out, ErrOut: &out, Getenv: func(string) string { return "" }, Now: time.Now}
	assert.Equal(t, 0, Run(t.Context(), e, []string{"/usr/local/bin/kubectl-tapio", "check", "--help"}))
	assert.Contains(t, out.String(), "kubectl tapio check [entity] [flags]")
	out.Reset()
	assert.Equal(t, 2, Run(t.Context(), e, []string{"/usr/local/bin/kubectl-tapio", "wyh"}))
	assert.Contains(t, out.String(), `unknown command "wyh" for "kubectl tapio": did you mean why?`)
	out.Reset()
	assert.Equal(t, 0, Run(t.Context(), e, []string{"/usr/local/bin/kubectl_complete-tapio", "check", "--fail-on", "cri"}))
	assert.Contains(t, out.String(), "critical\n")
	// It knows the contexts.
	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte("contexts: [{name: east, context: {cluster: c}}, {name: west, context: {cluster: c}}]"), 0o600))
	stdout, _, _ := run(t, map[string]string{"KUBECONFIG": config}, nil, "__complete", "check", "--context", "")
	assert.Equal(t, "east\nwest\n:4\n", stdout)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run go test ./internal/cli/root -update, and look at what it wrote")
	assert.Equal(t, string(want), got)
}
