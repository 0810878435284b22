package source

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/jsontext"
)

// maxBody bounds an answer (bytes); a report of 10,000 findings has some 20 MB.
const maxBody = 64 << 20

// endpoint is a collector's findings endpoint.
type endpoint struct {
	base, name, token string
	// alone is why no cluster can be asked in place of an endpoint that nobody named; nil for others.
	alone   error
	timeout time.Duration
	client  *http.Client
	now     func() time.Time
}

func (e *endpoint) String() string { return e.name }

// Report implements Source.
func (e *endpoint) Report(ctx context.Context, q Query) (finding.Report, error) {
	body, found, err := e.get(ctx, "/v1/findings", q.values())
	if err != nil {
		return finding.Report{}, err
	}
	if !found {
		return finding.Report{}, fmt.Errorf("%s answers, but has no findings: it is no findings endpoint of a Tapio collector", e.name)
	}
	r, err := e.report(body)
	return q.thin(r), err
}

// report reads a report. The version is looked at first: another one may have other fields.
func (e *endpoint) report(body []byte) (finding.Report, error) {
	var r finding.Report
	var head struct {
		APIVersion *string `json:"apiVersion"`
	}
	switch err := json.Unmarshal(body, &head); {
	case err != nil:
		return r, fmt.Errorf("%s answers with something that is no findings: %w", e.name, jsontext.Explain(err))
	case head.APIVersion == nil:
		return r, fmt.Errorf("%s answers with JSON that is no report of findings: field apiVersion is missing", e.name)
	case *head.APIVersion != finding.APIVersion:
		return r, fmt.Errorf("%s speaks version %.40q, this tapio speaks %q: use a tapio of the collector's version", e.name, *head.APIVersion, finding.APIVersion)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("%s answers with something that is no findings: %w", e.name, jsontext.Explain(err))
	}
	for _, f := range r.Findings {
		if err := f.Validate(); err != nil {
			return r, fmt.Errorf("%s serves a finding that makes no sense: %w", e.name, err)
		}
	}
	return r, nil
}

// get reads one JSON answer. It returns false for 404.
func (e *endpoint) get(ctx context.Context, path string, query url.Values) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	resp, err := e.send(ctx, path, query, nil)
	if err != nil {
		return nil, false, e.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, false, nil
	}
	if err := e.refused(resp, "application/json"); err != nil {
		return nil, false, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, false, e.explain(err)
	case len(body) > maxBody:
		return nil, false, fmt.Errorf("%s answers with more than %d MiB: narrow the question with -n or a name", e.name, maxBody>>20)
	}
	return body, true, nil
}

func (e *endpoint) send(ctx context.Context, path string, query url.Values, header http.Header) (*http.Response, error) {
	address := e.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	return e.client.Do(req)
}

// refused says why an answer is none, in words that say what to do.
func (e *endpoint) refused(resp *http.Response, want string) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s wants to know who asks (401): give a token with --token-file or TAPIO_TOKEN, or a certificate with --cert-file", e.name)
	case resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s refuses (403): what you showed it does not allow reading findings", e.name)
	case resp.StatusCode != http.StatusOK:
		detail := ""
		var problem struct {
			Detail  string `json:"detail"`
			Message string `json:"message"` // an API server's word, where it stands between
		}
		if b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10)); err == nil && json.Unmarshal(b, &problem) == nil && problem.Detail+problem.Message != "" {
			detail = fmt.Sprintf(": %.300s", cmp.Or(problem.Detail, problem.Message))
		}
		return fmt.Errorf("%s answers %d %s%s", e.name, resp.StatusCode, http.StatusText(resp.StatusCode), detail)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != want {
		return fmt.Errorf("%s answers with %.60q, want %s: it is no findings endpoint of a Tapio collector", e.name, resp.Header.Get("Content-Type"), want)
	}
	return nil
}

// explain says what is wrong with a connection, in words that say what to do.
func (e *endpoint) explain(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		op      *net.OpError
		dns     *net.DNSError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case refused(err) || errors.Is(err, os.ErrNotExist):
		if e.alone != nil {
			return fmt.Errorf("no collector answers on this machine (%s), and %w; start one with `tapio-collector --config tapio:local`, say where one is with --endpoint or TAPIO_ENDPOINT, or name a cluster with --kubeconfig", e.name, e.alone)
		}
		return fmt.Errorf("nothing answers at %s: is the collector running, and is this its findings endpoint?", e.name)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: you may not open it: %w", e.name, syscall.EACCES)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s shows a certificate of an unknown authority: name the one to trust with --ca-file", e.name)
	case errors.As(err, &host), errors.As(err, &invalid):
		return fmt.Errorf("%s shows a certificate that is not valid for it: %w", e.name, errors.Unwrap(err))
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s does not speak TLS: try http:// in place of https://", e.name)
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert, which has no type of its own
		return fmt.Errorf("%s refuses the connection (%w): it may want a certificate, --cert-file and --key-file", e.name, op.Err)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: there is no such host as %q", e.name, dns.Name)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s did not answer within %s: it is overloaded, or something on the way drops the packets (--request-timeout waits longer)", e.name, e.timeout)
	}
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	return fmt.Errorf("%s: cannot read findings: %w", e.name, err)
}
