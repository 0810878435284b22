package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"context"

	"github.com/spf13/pflag"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// Options say where findings are, and how to get in.
type Options struct {
	// Endpoint is host:port, http://…, https://…, or unix:///path. Default: TAPIO_ENDPOINT, then a collector on this machine, then
	// the collector of the cluster that a kubeconfig names, then that cluster's API server alone.
	Endpoint string
	// TokenFile holds a bearer token; TAPIO_TOKEN may hold one as well. (A flag would show it to everybody who can list processes.)
	TokenFile string
	// CAFile, CertFile and KeyFile are PEM files: who is trusted, and who we are.
	CAFile, CertFile, KeyFile string
	// Timeout is for one answer; watching has none.
	Timeout time.Duration
	// Kubeconfig, Contexts and Selector are of clusters, and go there straight where one is given.
	Kubeconfig, Selector string
	// Contexts are those of the kubeconfig; several are one report.
	Contexts []string
	// Now is the clock, of what an API server shows and of when a collector was heard last; nil: the machine's.
	Now func() time.Time
}

// Flags adds the flags that set the options.
func (o *Options) Flags(f *pflag.FlagSet) {
	f.StringVar(&o.Endpoint, "endpoint", "", "where findings are served: host:port, http(s)://host:port or unix:///path (default $TAPIO_ENDPOINT, else "+finding.DefaultEndpoint+", else the collector of the kubeconfig's cluster, else its API server)")
	f.StringVar(&o.TokenFile, "token-file", "", "file with the bearer token for the endpoint (default: the token in $TAPIO_TOKEN)")
	f.StringVar(&o.CAFile, "ca-file", "", "PEM file with the certificates to trust for https")
	f.StringVar(&o.CertFile, "cert-file", "", "PEM file with the client certificate for https")
	f.StringVar(&o.KeyFile, "key-file", "", "PEM file with the key of the client certificate")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster to look at (default $KUBECONFIG, else ~/.kube/config)")
	f.StringArrayVar(&o.Contexts, "context", nil, "context of the kubeconfig (default the current one); again for several clusters in one report")
	f.StringVarP(&o.Selector, "selector", "l", "", "only what has these labels, in the cluster that the kubeconfig names")
	f.DurationVar(&o.Timeout, "request-timeout", 10*time.Second, "how long to wait for an answer")
}

// Given are the flags of options that were given on a command line, as they are written there, without those of some names.
func Given(flags *pflag.FlagSet, without ...string) []string {
	var words []string
	known := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(Options).Flags(known)
	flags.Visit(func(f *pflag.Flag) {
		if known.Lookup(f.Name) == nil || slices.Contains(without, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, v := range values {
			words = append(words, "--"+f.Name, v)
		}
	})
	return words
}

// Open returns the source that the options name. It does not connect yet.
func (o Options) Open(getenv func(string) string) (Source, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &endpoint{timeout: o.Timeout, now: o.Now}
	if o.Timeout <= 0 {
		return nil, fmt.Errorf("--request-timeout is %s, want more than 0", o.Timeout)
	}
	name, from := o.Endpoint, "--endpoint"
	cluster := o.Kubeconfig != "" || len(o.Contexts) > 0 || o.Selector != ""
	if name != "" && cluster {
		return nil, errors.New("--endpoint is a collector's, --kubeconfig, --context and --selector are for an API server: name one of both")
	}
	if name == "" && !cluster {
		name, from = getenv("TAPIO_ENDPOINT"), "TAPIO_ENDPOINT"
	}
	implied := name == ""
	if implied {
		name = finding.DefaultEndpoint
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if err := e.address(name, transport); err != nil {
		return nil, fmt.Errorf("%s is %q: %w", from, name, err)
	}
	var err error
	if e.token, err = o.token(getenv); err != nil {
		return nil, err
	}
	if transport.TLSClientConfig, err = o.tls(); err != nil {
		return nil, err
	}
	e.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a findings endpoint redirects nowhere, and a token must not follow
	}}
	if !implied {
		return e, nil
	}
	there, err := o.clusters(getenv)
	switch {
	case err == nil && cluster:
		return there, nil
	case err == nil:
		return &either{endpoint: e, other: there}, nil
	case cluster, !errors.Is(err, kube.ErrNoConfig):
		return nil, err
	}
	e.alone = err
	return e, nil
}

// address reads the endpoint's name.
func (e *endpoint) address(name string, transport *http.Transport) error {
	want := errors.New("want host:port, http://host:port, https://host:port or unix:///path")
	if path, ok := strings.CutPrefix(name, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return want
		}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		e.base, e.name = "http://localhost", name
		return nil
	}
	if !strings.Contains(name, "://") {
		name = "http://" + name
	}
	u, err := url.Parse(name)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return want
	}
	e.base = strings.TrimSuffix(u.String(), "/")
	e.name = e.base
	return nil
}

func (o Options) token(getenv func(string) string) (string, error) {
	text, from := getenv("TAPIO_TOKEN"), "TAPIO_TOKEN"
	if o.TokenFile != "" {
		b, err := os.ReadFile(o.TokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		text, from = string(b), "--token-file: "+o.TokenFile
	}
	token := strings.TrimSpace(text)
	if token == "" && o.TokenFile != "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s does not hold one token", from)
	}
	return token, nil
}

func (o Options) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s holds no PEM certificate", o.CAFile)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("--cert-file and --key-file go together: both or none")
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--cert-file and --key-file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
